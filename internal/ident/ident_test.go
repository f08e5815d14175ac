package ident_test

import (
	"testing"

	"latchkey.dev/internal/ident"
)

func TestS28_OneNameForLookup(t *testing.T) {
	for login, want := range map[string]string{
		"mary@example.com":   "mary@example.com",
		" Mary@Example.COM ": "mary@example.com",
		"ＭＡＲＹ":               "mary",
		"STRASSE":            "strasse",
		"a\u0000b":           "",
		"":                   "",
		"mary\u200bx":        "",
		"two words":          "",
	} {
		if got, ok := ident.FoldLogin(login); got != want || ok != (want != "") {
			t.Errorf("%q folds to %q, %v, want %q", login, got, ok, want)
		}
	}
}

func TestIDs(t *testing.T) {
	a, b := ident.NewID("00u"), ident.NewID("00u")
	if a == b || len(a) != 20 || a[:3] != "00u" {
		t.Errorf("ids %s and %s", a, b)
	}
	if one, two := ident.IDFrom("lae", []byte("seed")), ident.IDFrom("lae", []byte("seed")); one != two {
		t.Errorf("an id of the same bytes differs: %s and %s", one, two)
	}
}
