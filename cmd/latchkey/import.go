package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"latchkey.dev/internal/org"
)

type importCommand struct {
	Users importUsers `cmd:"" help:"Take users in from a file, with the password hashes of another system."`
}

type importUsers struct {
	managed
	File    string `arg:"" help:"Lines of JSON, or CSV under a line that names the columns."`
	Format  string `enum:"auto,jsonl,csv" default:"auto" help:"jsonl or csv; otherwise the name of the file tells."`
	Rejects string `help:"Where rows go that were not taken, as {line, reason, row}. They may hold hashes: guard it. FILE.rejects otherwise." placeholder:"FILE"`
	Resume  bool   `help:"Go on where an import of this file stopped."`
}

// Run imports. It ends with an error if a row was rejected, so that a script notices.
func (c importUsers) Run(ctx context.Context, out io.Writer) error {
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file that can be read again after a crash: write the users to one", c.File)
	}
	rejects, err := c.ledger()
	if err != nil {
		return err
	}
	in := org.Import{File: file, Size: info.Size(), Format: c.format(), Resume: c.Resume, Ledger: rejects.open}
	if terminal(os.Stderr) && !c.JSON {
		in.Progress = newBar(os.Stderr).draw
	}
	defer rejects.close()
	return c.with(ctx, func(o *org.Org) error {
		began := time.Now()
		done, err := o.Import(ctx, in)
		if err == nil {
			err = c.tell(out, done, time.Since(began))
		} else if done.Line > 0 {
			err = fmt.Errorf("%w\nup to line %d all is done: --resume goes on behind it", err, done.Line)
		}
		return err
	})
}

func (c importUsers) format() org.Format {
	if c.Format == "csv" || c.Format == "auto" && strings.HasSuffix(strings.ToLower(c.File), ".csv") {
		return org.CSV
	}
	return org.JSONLines
}

func (c importUsers) tell(out io.Writer, done org.Progress, took time.Duration) error {
	var err error
	if done.Rejected > 0 {
		err = fmt.Errorf("%d rows were rejected; %s says why", done.Rejected, c.rejects())
	}
	if c.JSON {
		return errors.Join(err, printJSON(out, map[string]any{
			"added": done.Added, "rejected": done.Rejected, "lines": done.Line, "seconds": took.Seconds(),
		}))
	}
	fmt.Fprintf(out, "%d users were added: %s.\n", done.Added, org.Took(done.Added+done.Rejected, took))
	return err
}

func (c importUsers) rejects() string {
	if c.Rejects != "" {
		return c.Rejects
	}
	return c.File + ".rejects"
}

// A ledger is the file of rejected rows, for its owner's eyes.
type ledger struct {
	name string
	file *os.File
}

// ledger refuses a file that is there already, unless what is in it belongs to the import that goes on.
func (c importUsers) ledger() (*ledger, error) {
	l := &ledger{name: c.rejects()}
	if _, err := os.Stat(l.name); !errors.Is(err, fs.ErrNotExist) && !c.Resume {
		return nil, errors.Join(err, fmt.Errorf("%s is there already: remove it, or name another file with --rejects", l.name))
	}
	return l, nil
}

func (l *ledger) open() (org.Ledger, error) {
	var err error
	l.file, err = os.OpenFile(l.name, os.O_RDWR|os.O_CREATE, 0o600)
	return l.file, err
}

func (l *ledger) close() {
	if l.file != nil {
		_ = l.file.Close() // it was synced at every commit
	}
}

// A bar shows on a terminal how far an import has come.
type bar struct {
	out   io.Writer
	began time.Time
	first int64 // where this run began
}

func newBar(out io.Writer) *bar { return &bar{out: out, began: time.Now(), first: -1} }

func (b *bar) draw(p org.Progress) {
	if b.first < 0 {
		b.first = p.Offset // the first batch is in it, which makes the rest look a little slower than it is
	}
	const width = 30
	share := float64(p.Offset) / float64(max(p.Size, 1))
	left := "?"
	if passed := p.Offset - b.first; passed > 0 {
		rest := float64(p.Size-p.Offset) / float64(passed) * float64(time.Since(b.began))
		left = time.Duration(rest).Round(time.Second).String()
	}
	fmt.Fprintf(b.out, "\r[%-*s] %3.0f %%  %d users, %d rejected, %s left   ", width, strings.Repeat("#", int(share*width)), share*100, p.Added, p.Rejected, left)
	if p.Offset >= p.Size {
		fmt.Fprintln(b.out)
	}
}
