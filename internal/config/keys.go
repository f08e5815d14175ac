package config

import "fmt"

// Keys are the master keys (S-67, S-70).
type Keys struct {
	Master []Secret `yaml:"master" doc:"The master keys, newest first: the first seals, all of them open. Each is what latchkey key new makes."`
}

func (k Keys) check(p *problems) {
	if len(k.Master) == 0 {
		p.at("keys.master", "say where the master key is; latchkey key new makes one (S-70)")
	}
	for i, m := range k.Master {
		if !m.Given() {
			p.at(fmt.Sprintf("keys.master[%d]", i), "name a file or a variable")
		}
	}
}
