package config

import (
	"fmt"

	"latchkey.dev/internal/strict"
)

// Keys are the master keys (S-67, S-70).
type Keys struct {
	Master []MasterKey `yaml:"master" doc:"The master keys, newest first. All of them open what is sealed; latchkey key rekey moves everything to the first. Each is what latchkey key new makes."`
}

// A MasterKey says where one is read, at the start of each command that opens the database.
type MasterKey struct {
	File    string   `yaml:"file,omitempty" doc:"a file that nobody else may read, mode 0600"`
	Env     string   `yaml:"env,omitempty" doc:"an environment variable that holds it; it is taken out of the environment once it was read"`
	Command []string `yaml:"command,omitempty" doc:"a program and its arguments that prints it, a call to a key management service for instance; no shell, 30 seconds"`
}

func (k Keys) check(p *strict.Problems) {
	if len(k.Master) == 0 {
		p.At("keys.master", "say where the master key is; latchkey key new makes one (S-70)")
	}
	for i, m := range k.Master {
		given := 0
		for _, is := range []bool{m.File != "", m.Env != "", len(m.Command) > 0} {
			if is {
				given++
			}
		}
		if given != 1 || len(m.Command) > 0 && m.Command[0] == "" {
			p.At(fmt.Sprintf("keys.master[%d]", i), "name a file, a variable or a command, one of them")
		}
	}
}
