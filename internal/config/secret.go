package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"latchkey.dev/internal/secret"
)

// A Secret is named in the file and kept elsewhere, so that the file can be shown and put under version
// control. It is read once, at the start.
type Secret struct {
	File string `yaml:"file,omitempty" doc:"a file that holds it; white space around it does not count"`
	Env  string `yaml:"env,omitempty" doc:"an environment variable that holds it"`

	value secret.Text
}

// Given reports whether there is one at all.
func (s Secret) Given() bool { return s.File != "" || s.Env != "" }

// Text is the secret, empty if none was named.
func (s Secret) Text() secret.Text { return s.value }

func (s *Secret) read() error {
	switch {
	case s.File != "" && s.Env != "":
		return errors.New("a secret comes from a file or from the environment, not from both")
	case s.File != "":
		text, err := os.ReadFile(s.File)
		if err != nil {
			return fmt.Errorf("the secret cannot be read: %w", err)
		}
		s.value = secret.Text(strings.TrimSpace(string(text)))
		if s.value == "" {
			return fmt.Errorf("the secret's file %s is empty", s.File)
		}
	case s.Env != "":
		if s.value = secret.Text(os.Getenv(s.Env)); s.value == "" {
			return fmt.Errorf("the environment has no %s", s.Env)
		}
	}
	return nil
}
