//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A result is one promise, and what came of it.
type result struct {
	what string
	got  float64
	unit string // none is a count
	kind kind
	want float64
	how  string // the settings and the numbers behind it
}

// A kind says on which side of want the promise is kept.
type kind int

const (
	atMost kind = iota
	atLeast
	noPromise // worth knowing
)

func (r result) kept() bool {
	switch r.kind {
	case atMost:
		return r.got <= r.want
	case atLeast:
		return r.got >= r.want
	}
	return true
}

// counted reports whether the result is a count: how slow the machine is makes no difference to it.
func (r result) counted() bool { return r.unit == "" && r.kind != noPromise }

func (r result) target() string {
	switch r.kind {
	case atMost:
		return "≤ " + number(r.want) + r.unit
	case atLeast:
		return "≥ " + number(r.want) + r.unit
	}
	return ""
}

func (r result) verdict() string {
	switch {
	case r.kind == noPromise:
		return ""
	case r.kept():
		return "pass"
	}
	return "miss"
}

func number(v float64) string {
	if v == float64(int64(v)) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// show prints the results for people who wait for them.
func show(w io.Writer, all []result) {
	for _, r := range all {
		fmt.Fprintf(w, "%-70s %10s  %-10s %-5s %s\n", r.what, number(r.got)+r.unit, r.target(), r.verdict(), r.how)
	}
}

// row is a result in docs/reliability.md.
func (r result) row() string {
	verdict := r.verdict()
	if verdict == "miss" {
		verdict = "**miss**"
	}
	day := time.Now().UTC().Format("2006-01-02 15:04")
	return fmt.Sprintf("| %s | %s%s | %s | %s | %s | %s, %d cores |", r.what, number(r.got), r.unit, r.target(), verdict, r.how, day, runtime.NumCPU())
}

// The marks between which the last runs stand.
const (
	rowsBegin = "<!-- last run: begins -->\n"
	rowsEnd   = "<!-- last run: ends -->\n"
	head      = "| what | measured | target | | the numbers behind it | when, where |\n|---|---:|---:|---|---|---|\n"
)

// replaceRows puts results between the marks of a file: in place of all that is there, or with some of the lines, in
// place of the rows of the same name.
func replaceRows(file string, all []result, some bool) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(text), rowsBegin)
	old, after, ends := strings.Cut(rest, rowsEnd)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the last run", file)
	}
	var rows []string
	if some {
		for row := range strings.Lines(old) {
			if row = strings.TrimSpace(row); strings.HasPrefix(row, "| ") && !strings.HasPrefix(row, "| what |") {
				rows = append(rows, row)
			}
		}
	}
	for _, r := range all {
		same := func(row string) bool { return strings.HasPrefix(row, "| "+r.what+" |") }
		if i := slices.IndexFunc(rows, same); i >= 0 {
			rows[i] = r.row()
		} else {
			rows = append(rows, r.row())
		}
	}
	table := head + strings.Join(rows, "\n") + "\n"
	return os.WriteFile(file, []byte(before+rowsBegin+"\n"+table+"\n"+rowsEnd+after), 0o644)
}

// median and the like, of times in milliseconds.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func ms(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

func seconds(d time.Duration) float64 { return d.Round(10 * time.Millisecond).Seconds() }
