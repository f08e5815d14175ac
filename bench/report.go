//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// A mebibytes is an amount of memory.
type mebibytes float64

// A result is one promise, measured.
type result struct {
	what string
	got  float64
	unit string // of got and of the limit; none is a ratio
	kind kind
	want float64
	how  string // the numbers behind it
}

// A kind says on which side of want the promise is kept.
type kind int

const (
	atMost kind = iota
	atLeast
	noPromise // worth knowing
)

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
	case r.kind == atMost && r.got <= r.want, r.kind == atLeast && r.got >= r.want:
		return "pass"
	}
	return "miss"
}

func number(v float64) string {
	switch {
	case v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v < 10 && v > -10:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// show prints the results for people who wait for them.
func show(w io.Writer, all []result) {
	for _, r := range all {
		fmt.Fprintf(w, "%-58s %10s  %-10s %-5s %s\n", r.what, number(r.got)+r.unit, r.target(), r.verdict(), r.how)
	}
}

// A section is what one of [lines] gave, when, and on what machine.
type section struct {
	name    string
	began   time.Time
	machine string
	results []result
}

// heading is how a section begins in docs/performance.md.
func heading(name string) string { return "### " + name + "\n" }

// text is the section for docs/performance.md.
func (s section) text() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nMeasured %s on %s.\n\n", heading(s.name), s.began.UTC().Format("2006-01-02 15:04 UTC"), s.machine)
	b.WriteString("| what | measured | target | | the numbers behind it |\n|---|---:|---:|---|---|\n")
	for _, r := range s.results {
		verdict := r.verdict()
		if verdict == "miss" {
			verdict = "**miss**"
		}
		fmt.Fprintf(&b, "| %s | %s%s | %s | %s | %s |\n", r.what, number(r.got), r.unit, r.target(), verdict, r.how)
	}
	return b.String()
}

// The marks between which the last run stands.
const (
	runBegins = "<!-- last run: begins -->\n"
	runEnds   = "<!-- last run: ends -->\n"
)

// replaceRun puts sections into a file, each in its place in the order of [lines]. Others stay as they are,
// under the date on which they were measured.
func replaceRun(file string, measured []section) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(text), runBegins)
	old, after, ends := strings.Cut(rest, runEnds)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the last run", file)
	}
	var run strings.Builder
	for _, l := range lines {
		_, now, _ := strings.Cut(old, heading(l.name))
		now, _, _ = strings.Cut(now, "\n### ")
		if now = strings.TrimSpace(now); now != "" {
			now = heading(l.name) + "\n" + now + "\n"
		}
		for _, s := range measured {
			if s.name == l.name {
				now = s.text()
			}
		}
		if now != "" {
			run.WriteString("\n" + now)
		}
	}
	return os.WriteFile(file, []byte(before+runBegins+run.String()+"\n"+runEnds+after), 0o644)
}

// A series is what the rounds gave for one of the things that took turns.
type series []float64

func (s series) median() float64 {
	sorted := slices.Sorted(slices.Values(s))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func (s series) sum() (total float64) {
	for _, v := range s {
		total += v
	}
	return total
}

// over is the median of the ratios of each round. What slows a round slows both of its halves.
func (s series) over(t series) float64 {
	return combine(s, t, func(a, b float64) float64 { return a / b })
}

// minus is the median of the differences of each round.
func (s series) minus(t series) float64 {
	return combine(s, t, func(a, b float64) float64 { return a - b })
}

func combine(s, t series, f func(a, b float64) float64) float64 {
	var each series
	for i := range s {
		each = append(each, f(s[i], t[i]))
	}
	return each.median()
}

// takeTurns runs all of them in each round, and returns a series for each.
func takeTurns(rounds int, each ...func() (float64, error)) ([]series, error) {
	all := make([]series, len(each))
	for range rounds {
		for i, f := range each {
			v, err := f()
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], v)
		}
	}
	return all, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
