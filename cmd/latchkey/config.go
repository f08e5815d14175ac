package main

import (
	"fmt"
	"io"

	"latchkey.dev/internal/config"
)

type configCommand struct {
	Check        configCheck        `cmd:"" help:"Read latchkey.yaml and say everything that is wrong with it."`
	PrintDefault configPrintDefault `cmd:"" help:"Print a latchkey.yaml with every setting, what it means, and its default."`
	Schema       configSchema       `cmd:"" help:"Print the JSON Schema of latchkey.yaml, for editors."`
}

type configCheck struct{ configured }

// Run says nothing but that it is good, and what about it may be forgotten, or all that is not good.
func (c configCheck) Run(out io.Writer) error {
	settings, err := c.read()
	if err != nil {
		return err
	}
	for _, doubt := range doubts(settings) {
		fmt.Fprintf(out, "%s: %s\n", c.Config, doubt)
	}
	_, err = fmt.Fprintf(out, "%s is good.\n", c.Config)
	return err
}

// doubts are what may be forgotten, and what does not fit this machine.
func doubts(settings config.Config) []string {
	all := settings.Doubts()
	if _, doubt := fitted(settings); doubt != "" {
		all = append(all, doubt)
	}
	return all
}

type configPrintDefault struct{}

// Run prints the commented default.
func (configPrintDefault) Run(out io.Writer) error {
	_, err := out.Write(config.PrintDefault())
	return err
}

type configSchema struct{}

// Run prints the schema.
func (configSchema) Run(out io.Writer) error {
	_, err := out.Write(config.Schema())
	return err
}
