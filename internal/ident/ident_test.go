package ident_test

import (
	"strings"
	"testing"

	"latchkey.dev/internal/ident"
)

func TestS28_OneNameForLookup(t *testing.T) {
	for login, want := range map[string]string{
		"mary@example.com":       "mary@example.com",
		" Mary@Example.COM ":     "mary@example.com",
		"\u00a0Mary\u3000":       "mary",
		"ＭＡＲＹ":                   "mary",
		"STRASSE":                "strasse",
		"Straße":                 "strasse",
		"ΣΊΣΥΦΟΣ":                "σίσυφοσ", // whichever sigma ends it
		"Σίσυφος":                "σίσυφοσ",
		"e\u0301ric":             "éric",
		"ﬁona":                   "fiona",
		"ⅷ":                      "viii",
		"ℌenry":                  "henry",
		"мария@example.com":      "мария@example.com",
		"μαρία@пример.example":   "μαρία@пример.example",
		"山田たろう":                  "山田たろう",
		"taro山田":                 "taro山田",
		"김maria":                 "김maria",
		"mary-1_2":               "mary-1_2",
		"a\u0000b":               "",
		"a\nb":                   "",
		"":                       "",
		" ":                      "",
		"mary\u200bx":            "", // zero width space
		"mary\u00adx":            "", // soft hyphen
		"ma\u200dry":             "", // joiner
		"क्\u200dष":              "", // even where the script asks for it
		"mary\ufe0f":             "", // variation selector
		"mary\u202ex":            "", // right-to-left override
		"\u2066mary\u2069":       "",
		"\ufeffmary":             "",
		"mary\U000e0041":         "", // tag
		"maryא":                  "", // two directions
		"two words":              "",
		"mаry":                   "", // Cyrillic а
		"mary@еxample.com":       "", // Cyrillic е
		"οmega":                  "", // Greek ο
		"ひらa한":                   "", // three that are not written together
		"mary\xff":               "",
		strings.Repeat("a", 254): strings.Repeat("a", 254),
		strings.Repeat("a", 255): "",
		strings.Repeat("ß", 200): "", // folded it is twice as long
	} {
		got, ok := ident.FoldLogin(login)
		if got != want && ok || ok != (want != "") {
			t.Errorf("%q folds to %q, %v, want %q", login, got, ok, want)
		}
	}
}

func FuzzS28_FoldingTwiceIsFoldingOnce(f *testing.F) {
	for _, seed := range []string{"Mary@Example.com", "Straße", "ΣΊΣΥΦΟΣ", "ﬁ", "İ", "ǅ", "ͅ", "ẛ̣", "ᾳ", "𝕸ary", "Ω", "ﾊﾟ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, login string) {
		once, ok := ident.FoldLogin(login)
		if !ok {
			return
		}
		if twice, ok := ident.FoldLogin(once); !ok || twice != once {
			t.Errorf("%q folds to %q, and that to %q, %v", login, once, twice, ok)
		}
		if upper, ok := ident.FoldLogin(strings.ToUpper(once)); ok && upper != once && strings.ToLower(strings.ToUpper(once)) == once {
			t.Errorf("%q and its capitals are two: %q", once, upper)
		}
	})
}

func TestGroupNames(t *testing.T) {
	for name, want := range map[string]string{
		"Staff":         "staff",
		"  Night  crew": "night crew",
		"a\u200bb":      "",
		"a\nb":          "",
		"":              "",
	} {
		if got, ok := ident.FoldGroup(name); ok != (want != "") || ok && got != want {
			t.Errorf("%q folds to %q, %v, want %q", name, got, ok, want)
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
