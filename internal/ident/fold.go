package ident

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// MaxName is how many characters the name of a user or a group may have (S-47).
const MaxName = 254

// FoldLogin is the one form in which logins are looked up, counted and logged (S-28). It folds here
// and not in SQL: SQLite lowers ASCII only, PostgreSQL follows its locale. A login that nobody may
// have (controls, zero width, mixed direction, letters of two scripts in one word) belongs to nobody: ok is false.
//
// Folding what is folded changes nothing.
func FoldLogin(login string) (folded string, ok bool) {
	folded = strings.TrimSpace(login)
	if folded == "" || !utf8.ValidString(folded) || utf8.RuneCountInString(folded) > MaxName || strings.ContainsFunc(folded, unseen) {
		return "", false
	}
	// What one fold leaves, another may still change: a letter's compatibility form may have a case.
	for range 4 {
		before := folded
		folded = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(folded)))
		lower, err := precis.UsernameCaseMapped.String(folded)
		if err != nil {
			return "", false
		}
		if folded = lower; folded == before {
			return folded, oneScriptPerWord(folded) && utf8.RuneCountInString(folded) <= MaxName
		}
	}
	return "", false
}

// FoldGroup is the form in which the names of groups are compared. They may hold spaces, and are not typed at a door.
func FoldGroup(name string) (folded string, ok bool) {
	if utf8.RuneCountInString(name) > MaxName || strings.ContainsFunc(name, unseen) {
		return "", false
	}
	folded, err := precis.Nickname.CompareKey(name)
	return folded, err == nil && folded != ""
}

// unseen reports a character that nobody sees: two names must not differ by it. PRECIS lets joiners pass
// where a script asks for them.
func unseen(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

// together are the scripts that one word may mix, beside one script alone (UTS 39, 5.2, highly restrictive).
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Bopomofo"},
	{"Latin", "Han", "Hangul"},
}

// oneScriptPerWord refuses a Cyrillic letter among Latin ones, which looks like another name. The words of an
// address are judged one by one: a Greek name before a Latin domain is as it should be.
func oneScriptPerWord(name string) bool {
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '@' || r == '.' }) {
		if !oneScript(word) {
			return false
		}
	}
	return true
}

func oneScript(word string) bool {
	var seen []string
	for _, r := range word {
		s := scriptOf(r)
		if s != "" && !slices.Contains(seen, s) {
			seen = append(seen, s)
		}
	}
	if len(seen) <= 1 {
		return true
	}
	for _, allowed := range together {
		if all(seen, allowed) {
			return true
		}
	}
	return false
}

// scriptOf is empty for what belongs to no script in particular: digits, marks, punctuation.
func scriptOf(r rune) string {
	switch {
	case r < utf8.RuneSelf && unicode.IsLetter(r):
		return "Latin"
	case r < utf8.RuneSelf || unicode.In(r, unicode.Common, unicode.Inherited):
		return ""
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return "Unknown"
}

func all(seen, allowed []string) bool {
	for _, s := range seen {
		if !slices.Contains(allowed, s) {
			return false
		}
	}
	return true
}
