package keys

import (
	"testing"
	"time"

	"latchkey.dev/internal/store"
)

func TestSigning(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	key := func(id string, from time.Duration) store.SigningKey {
		return store.SigningKey{ID: id, From: now.Add(from), Created: now.Add(from)}
	}
	for name, test := range map[string]struct {
		all  []store.SigningKey
		want string
	}{
		"none":                             {nil, ""},
		"the only one":                     {[]store.SigningKey{key("a", -1)}, "a"},
		"begins now":                       {[]store.SigningKey{key("a", -time.Hour), key("b", 0)}, "b"},
		"the next waits for its turn":      {[]store.SigningKey{key("a", -time.Hour), key("b", 1)}, "a"},
		"the last of several that began":   {[]store.SigningKey{key("a", -3), key("b", -2), key("c", -1)}, "c"},
		"whatever their order":             {[]store.SigningKey{key("c", -1), key("a", -3), key("b", -2)}, "c"},
		"clock set back: the oldest signs": {[]store.SigningKey{key("a", 1), key("b", 2)}, "a"},
		"S-69 withdrawn":                   {[]store.SigningKey{withdraw(key("a", -time.Hour)), key("b", 0)}, "b"},
		"S-69 withdrawn, clock set back":   {[]store.SigningKey{withdraw(key("a", -time.Hour)), withdraw(key("b", -1)), key("c", 1)}, "c"},
		"S-69 withdrawn, all of them":      {[]store.SigningKey{withdraw(key("a", -time.Hour))}, ""},
		"one begun after one not begun":    {[]store.SigningKey{key("b", 1), key("a", -1)}, "a"},
	} {
		if got, ok := signing(test.all, now); got.ID != test.want || ok != (test.want != "") {
			t.Errorf("%s: %q, %v", name, got.ID, ok)
		}
	}
}

func TestVerdictsAreBounded(t *testing.T) {
	var v verdicts
	digest := func(n int) [32]byte { return [32]byte{byte(n), byte(n >> 8), byte(n >> 16)} }
	for n := range 10 * generation {
		v.add(digest(n), n)
	}
	if got := len(v.young) + len(v.old); got > 2*generation {
		t.Errorf("%d verdicts are kept", got)
	}
	if !v.good(digest(10*generation-1)) || v.good(digest(0)) {
		t.Error("the youngest are kept and the oldest are not")
	}
	if v.claims(digest(10*generation-1)) != 10*generation-1 {
		t.Error("the claims are another token's")
	}
	if v.good(digest(10 * generation)) {
		t.Error("a verdict that nobody gave")
	}
}
