package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"latchkey.dev/internal/org"
)

type exportCommand struct {
	Org   exportOrg   `cmd:"" help:"Write the organisation as a file that apply takes: all but its people and the applications that registered themselves."`
	Users exportUsers `cmd:"" help:"Write the users as lines of JSON that import takes."`
}

// written is where an export goes.
type written struct {
	configured
	Output string `short:"o" default:"-" help:"Where to; - is standard output. A file is readable for its owner alone." placeholder:"FILE"`
}

// to calls f with where the export goes, and finishes the file.
func (w written) to(out io.Writer, f func(io.Writer) error) error {
	if w.Output == "-" {
		return f(out)
	}
	file, err := os.OpenFile(w.Output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(file)
	return errors.Join(f(b), b.Flush(), file.Sync(), file.Close())
}

type exportOrg struct {
	written
	JSON bool `help:"Write JSON, to be read by other programs; apply takes the other form."`
}

// Run exports the organisation.
func (c exportOrg) Run(ctx context.Context, out io.Writer) error {
	return managed{configured: c.configured}.with(ctx, func(o *org.Org) error {
		f, err := o.Export(ctx)
		if err != nil {
			return err
		}
		return c.to(out, func(w io.Writer) error {
			if c.JSON {
				return printJSON(w, f)
			}
			text, err := f.Marshal()
			if err != nil {
				return err
			}
			_, err = w.Write(text)
			return err
		})
	})
}

type exportUsers struct {
	written
	Secrets bool `help:"Write password hashes and phone numbers, too, to move people to another system. Guard the file."`
	JSON    bool `help:"Lines of JSON, which they are anyway."`
}

// Run exports the users.
func (c exportUsers) Run(ctx context.Context, out io.Writer) error {
	return managed{configured: c.configured}.with(ctx, func(o *org.Org) error {
		return c.to(out, func(w io.Writer) error {
			n, err := o.ExportUsers(ctx, w, c.Secrets)
			if err == nil && c.Output != "-" {
				fmt.Fprintf(out, "%d users are in %s.\n", n, c.Output)
			}
			return err
		})
	})
}
