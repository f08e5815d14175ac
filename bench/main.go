//go:build linux

// Command bench measures what the project promises of its speed and size, and says of each line whether
// it is kept. `make bench` runs it.
//
// What is measured is the program that people run: `latchkey dev` on SQLite with synchronous=FULL and the
// real password hash, in a process of its own, over keep-alive connections. Beside it run the floors
// (floor.go), processes that do one thing and nothing else: hash passwords, answer a bare GET. Costs are CPU
// time of those processes as the kernel counts it, and promises are ratios of two of them taken in turns
// within one run, so that a slow or busy machine slows both. Each line is one function in lines.go; report.go
// prints them and writes docs/performance.md.
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

// A plan says how much is done. The promises hold for full; quick is for seeing that everything runs.
type plan struct {
	rounds   int           // in which the things to compare take turns: the shorter, the less the machine changes between them
	batch    int           // sign-ins or hashes in a round
	turns    int           // rounds of what takes seconds
	gets     int           // requests in a round where a request is all there is
	warm     time.Duration // before anything is counted under load
	window   time.Duration // in which work under load is counted
	few      int           // workers
	crowd    int           // workers, more than anybody should have
	tokens   int           // more than the server remembers to have verified
	flows    int           // open at once
	users    [2]int        // of the small and of the large organisation
	starts   int
	idle     time.Duration // until a process counts as idle
	settling time.Duration // until what goes on after an answer is over
}

var (
	full = plan{
		rounds: 30, batch: 5, turns: 3, gets: 300, warm: 2 * time.Second, window: 5 * time.Second, few: 8, crowd: 128, tokens: 5000,
		flows: 10_000, users: [2]int{1000, 1_000_000}, starts: 5, idle: 3 * time.Second, settling: 3 * time.Millisecond,
	}
	quick = plan{
		rounds: 1, batch: 1, turns: 1, gets: 5, window: 500 * time.Millisecond, few: 2, crowd: 4, tokens: 4,
		flows: 20, users: [2]int{3, 30}, starts: 1, settling: time.Millisecond,
	}
)

// A bench is one run.
type bench struct {
	plan
	latchkey string // the program
	self     string // this program, which is the floors, too
	dir      string // everything that is written
	log      io.Writer
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == floorArg {
		floor()
		return
	}
	program := flag.String("latchkey", "bin/latchkey", "the program to measure, built as it ships")
	write := flag.String("write", "", "put the results into this file, between its marks; what was not measured stays")
	only := flag.String("only", "", "measure just the lines whose name matches this expression")
	small := flag.Bool("quick", false, "do next to nothing of everything, to see that it runs")
	tmp := flag.String("tmp", "", "where to put databases; a million users take a gigabyte")
	flag.Parse()
	plan := full
	if *small {
		plan = quick
	}
	if err := run(plan, *program, *tmp, *only, *write); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures and reports. A promise that is not kept is a result and no error.
func run(p plan, program, tmp, only, write string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	sections, _, err := measure(p, program, tmp, pattern, os.Stderr)
	if err != nil {
		return err
	}
	for _, s := range sections {
		show(os.Stdout, s.results)
	}
	if write == "" {
		return nil
	}
	return replaceRun(write, sections)
}

// measure returns a section for each line whose name matches.
func measure(p plan, program, tmp string, only *regexp.Regexp, log io.Writer) (all []section, b *bench, err error) {
	b = &bench{plan: p, log: log}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.latchkey, err = filepath.Abs(program); err != nil {
		return nil, b, err
	}
	if b.self, err = os.Executable(); err != nil {
		return nil, b, err
	}
	if b.dir, err = os.MkdirTemp(cmp.Or(tmp, os.TempDir()), "latchkey-bench-"); err != nil {
		return nil, b, err
	}
	for _, l := range lines {
		if !only.MatchString(l.name) {
			continue
		}
		began, share := time.Now(), newShare()
		results, err := l.measure(b)
		if err != nil {
			return nil, b, fmt.Errorf("%s: %w", l.name, err)
		}
		fmt.Fprintf(b.log, "%-12s %s\n", l.name, time.Since(began).Round(100*time.Millisecond))
		share.stop()
		all = append(all, section{l.name, began, share.String(), results})
	}
	return all, b, nil
}
