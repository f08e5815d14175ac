package main

import (
	"bytes"
	"fmt"
	"strings"
)

const thirdPartyFile = "THIRD_PARTY_LICENSES"

// ThirdParty is the file that goes with every binary: whose code is in it, and on which terms, word by word (S-87).
func ThirdParty(source string) ([]byte, error) {
	all, err := modules(source, Platforms)
	if err != nil {
		return nil, err
	}
	var list, texts bytes.Buffer
	for _, m := range all {
		terms, err := m.licenses()
		if err != nil {
			return nil, err
		}
		name := m.Path + " " + m.Version
		if m.Path == "std" {
			name = "The standard library of Go" // whose terms do not change from version to version
		}
		fmt.Fprintf(&list, "  %-70s %s\n", name, strings.Join(identifiers(terms), " AND "))
		for _, l := range terms {
			fmt.Fprintf(&texts, "\n%s\n%s: %s\n%s\n\n", rule, name, l.File, rule)
			for line := range strings.Lines(l.Text) {
				texts.WriteString(strings.TrimRight(line, " \t\r\n") + "\n")
			}
		}
	}
	return fmt.Appendf(nil, `Latchkey is under the Apache License 2.0, see LICENSE. Its binaries contain the work of others, on these terms.
Written by make third-party from the sources of the dependencies.

%s%s`, list.Bytes(), texts.Bytes()), nil
}

var rule = strings.Repeat("-", 100)
