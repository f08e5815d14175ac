//go:build linux

// Command chaos breaks things on purpose and says what people saw of it. `make chaos` runs it.
//
// What is broken is what runs in production: `latchkey serve` processes on SQLite or on a PostgreSQL that is
// started for the purpose, behind a load balancer of the plainest kind, with a webhook for a telephone network.
// Whole sign-ins go through them with the SDK while processes are killed, databases fail over and disks fill up;
// afterwards everything that was acknowledged has to be there, and nothing that was used may be good again. Each
// promise is one line in lines.go. The results and the settings stand in docs/reliability.md.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// A plan says how much is done. The promises are made for full; quick is for every test run.
type plan struct {
	rounds   int           // of killing
	load     time.Duration // at least this long, then a moment by chance
	crowd    int           // sign-ins at once
	storm    time.Duration // of nodes that die
	gust     time.Duration // between two deaths
	guesses  int           // at one code
	flows    int           // open at once
	idle     int           // connections that do nothing
	users    [2]int        // of the small and of the large organisation
	messages int           // through gateways that fail
	away     time.Duration // a primary, before another is promoted
	spell    time.Duration // of load
	kept     int           // audit events of a year
	turns    int           // of things that are compared
	batch    int           // sign-ins in a turn
}

var (
	full = plan{
		rounds: 100, load: 700 * time.Millisecond, crowd: 50, storm: time.Minute, gust: 2 * time.Second, guesses: 200,
		flows: 10_000, idle: 2000, users: [2]int{1000, 1_000_000}, messages: 200, away: 8 * time.Second,
		spell: 15 * time.Second, kept: 2_000_000, turns: 9, batch: 30,
	}
	quick = plan{
		rounds: 2, load: 300 * time.Millisecond, crowd: 6, storm: 5 * time.Second, gust: 2 * time.Second, guesses: 40,
		flows: 50, idle: 50, users: [2]int{10, 100}, messages: 8, away: 5 * time.Second,
		spell: 800 * time.Millisecond, kept: 1000, turns: 1, batch: 2,
	}
)

// A chaos is one run.
type chaos struct {
	plan
	program string // latchkey
	dir     string // everything that is written
	log     io.Writer
}

func main() {
	program := flag.String("latchkey", "bin/latchkey", "the program to break, built as it ships")
	write := flag.String("write", "", "put the results into this file, between its marks")
	only := flag.String("only", "", "run just the lines whose name matches this expression")
	small := flag.Bool("quick", false, "do a little of everything")
	tmp := flag.String("tmp", "", "where to put databases")
	flag.Parse()
	p := full
	if *small {
		p = quick
	}
	if err := run(p, *program, *tmp, *only, *write); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// run breaks things and reports. A promise that is not kept is a result, and the exit says so.
func run(p plan, program, tmp, only, write string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	results, err := breakThings(p, program, tmp, pattern, os.Stderr)
	if err != nil {
		return err
	}
	show(os.Stdout, results)
	if write != "" {
		if err := replaceRows(write, results, only != ""); err != nil {
			return err
		}
	}
	for _, r := range results {
		if !r.kept() {
			return errors.New("not every promise is kept")
		}
	}
	return nil
}

func breakThings(p plan, program, tmp string, only *regexp.Regexp, log io.Writer) (all []result, err error) {
	c := &chaos{plan: p, log: log}
	if c.program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp(cmp.Or(tmp, os.TempDir()), "latchkey-chaos-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	// PostgreSQL runs as somebody else, who has to get at what is theirs.
	if err := os.Chmod(c.dir, 0o711); err != nil {
		return nil, err
	}
	for _, l := range lines {
		if !only.MatchString(l.name) {
			continue
		}
		began := time.Now()
		results, err := l.run(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		fmt.Fprintf(c.log, "%-12s %s\n", l.name, time.Since(began).Round(100*time.Millisecond))
		all = append(all, results...)
	}
	return all, nil
}
