package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"latchkey.dev/internal/org"
	"latchkey.dev/internal/strict"
)

type applyCommand struct {
	managed
	File   string `short:"f" required:"" help:"The organisation as a file; - is standard input." placeholder:"org.yaml"`
	DryRun bool   `help:"Change nothing, and show what would be."`
	Prune  bool   `help:"Delete what the file does not name, of each kind of object that it names one of; but no application that registered itself."`
}

// Run makes the organisation what the file says, and shows what that took.
func (c applyCommand) Run(ctx context.Context, out io.Writer) error {
	text, err := textOf(c.File)
	if err != nil {
		return err
	}
	file, err := org.Read(c.File, text)
	if err != nil {
		return c.problems(out, err)
	}
	return c.with(ctx, func(o *org.Org) error {
		plan, err := o.Apply(ctx, file, org.How{DryRun: c.DryRun, Prune: c.Prune})
		if err != nil {
			return c.problems(out, err)
		}
		if c.JSON {
			if plan.Changes == nil {
				plan.Changes = []org.Change{}
			}
			return printJSON(out, plan)
		}
		return show(out, plan)
	})
}

func textOf(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

// problems prints what is wrong with the file as JSON, too, if JSON is asked for.
func (c applyCommand) problems(out io.Writer, err error) error {
	var p *strict.Problems
	if c.JSON && errors.As(err, &p) {
		return errors.Join(fmt.Errorf("%s: nothing was changed", c.File), printJSON(out, p))
	}
	return err
}

func show(out io.Writer, plan org.Plan) error {
	words := plan.String()
	switch {
	case words == "":
		words = "Nothing to change.\n"
	case !plan.Applied:
		words += "Nothing was changed: this is a dry run.\n"
	}
	for _, m := range plan.Secrets {
		words += fmt.Sprintf("\nThe secret of %s (%s), shown once and kept nowhere:\n%s\n", m.App, m.ID, m.Secret.Reveal())
	}
	_, err := io.WriteString(out, words)
	return err
}
