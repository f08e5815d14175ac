package password_test

import (
	"strings"
	"testing"

	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/secret"
)

// foreignHashes were made by the C library's crypt and by Python's hashlib, all of one password.
var foreignHashes = map[string]string{
	"bcrypt":               "$2b$10$abcdefghijklmnopqrstuuydpZfl1gmRl6J.6.mOUEUEhi5jCvrby",
	"bcrypt of PHP":        "$2y$05$abcdefghijklmnopqrstuup/ZY04k2B1Bm4VIaz/HAyydzYFroJPO",
	"SHA-256 crypt":        "$5$rounds=5000$saltstring$1vaQ.kVnhb3JRM4VMWQ8Yhj3e.kJFdheUyqnv/Fp.F3",
	"SHA-512 crypt":        "$6$saltstring$vUKPqvZRyry35plHQQGnQE2/5glELgyv0ttigLTYSUzbXgKMjRMVPdk4RUS9MMaOlj0l8RyTT3zhCKfYizdw61",
	"SHA-512 crypt, LDAP":  "{CRYPT}$6$saltstring$vUKPqvZRyry35plHQQGnQE2/5glELgyv0ttigLTYSUzbXgKMjRMVPdk4RUS9MMaOlj0l8RyTT3zhCKfYizdw61",
	"PBKDF2-SHA256":        "$pbkdf2-sha256$100000$c2FsdHNhbHQxMjM0NTY3OA$XG1SVCfoyTr5cXrFcW2yBoPiCur4QMB4GOof2iBMIKQ",
	"PBKDF2-SHA512":        "$pbkdf2-sha512$100000$c2FsdHNhbHQxMjM0NTY3OA$n95w0lFcuJN7nZgtfAI/YFqkGlpqTF7uqhFDkv8a.2yjLJg2Wa3GQ1JMcO.eKj.xCFrmNyHzFyvo/xVCm82i8g",
	"PBKDF2-SHA1, LDAP":    "{PBKDF2}100000$c2FsdHNhbHQxMjM0NTY3OA$Hj3BgtlSMBhvyZf/aDSJiDr1mzo",
	"PBKDF2-SHA256 Django": "pbkdf2_sha256$100000$saltsalt1234$SdjzUOoRQ/eEHjKtTtbz54iVKf7IPBquDs1TuXEiMwI=",
	"scrypt":               "$scrypt$ln=14,r=8,p=1$c2FsdHNhbHQxMjM0NTY3OA$9VWGNQoMRsV6rAKHKb6oV6vF6noRYGacRJpv8R7h79A",
}

const foreignPassword = "Correct-Horse-1"

func adopt(t *testing.T, hash string) secret.Text {
	t.Helper()
	kept, err := password.Adopt(hash)
	if err != nil {
		t.Fatalf("%s: %v", hash, err)
	}
	return kept
}

func TestS01_HashesFromElsewhereAreReplacedAtTheFirstSignIn(t *testing.T) {
	pw := password.New(cheap)
	for name, hash := range foreignHashes {
		t.Run(name, func(t *testing.T) {
			kept := adopt(t, hash)
			if v, err := pw.Verify(authn.In{Enrollment: enrolled(kept), Answer: "correct-horse-1"}); err != nil || v.OK || v.Replace != "" {
				t.Fatalf("a wrong password: %+v, %v", v, err)
			}
			v, err := pw.Verify(authn.In{Enrollment: enrolled(kept), Answer: foreignPassword})
			if err != nil || !v.OK || !strings.HasPrefix(v.Replace.Reveal(), "$argon2id$") {
				t.Fatalf("the right password: %v, %v, replaced by %s", v.OK, err, v.Replace.Reveal())
			}
			v, err = pw.Verify(authn.In{Enrollment: enrolled(v.Replace), Answer: foreignPassword})
			if err != nil || !v.OK || v.Replace != "" {
				t.Errorf("the second sign-in: %+v, %v", v, err)
			}
		})
	}
}

func TestOurOwnHashesComeBack(t *testing.T) {
	pw := password.New(cheap)
	hash := pw.Hash(foreignPassword)
	if kept := adopt(t, hash.Reveal()); kept != hash {
		t.Errorf("%s became %s", hash.Reveal(), kept.Reveal())
	}
	if kept := adopt(t, "argon2"+hash.Reveal()); kept != hash { // as Django writes it
		t.Errorf("%s became %s", hash.Reveal(), kept.Reveal())
	}
}

func TestHashesFromElsewhereReadPasswordsAsTheyWereTyped(t *testing.T) {
	pw := password.New(cheap)
	// Of the letters C3 A9, as a keyboard sends é.
	const composed = "$6$saltstring$ImQjmIR6kkQMV7ZdjngtVsP4UqrrG1agvEW9YklDsVH2KCxeaT7NbPY9OSxYbi.m0FTstNasvZmAdxz0dP42a/"
	for _, typed := range []secret.Text{"Correct-Horse-1\u00e9", "Correct-Horse-1e\u0301"} {
		if v, err := pw.Verify(authn.In{Enrollment: enrolled(adopt(t, composed)), Answer: typed}); err != nil || !v.OK {
			t.Errorf("%q: %v, %v", typed.Reveal(), v.OK, err)
		}
	}
	// bcrypt of 80 letters reads 72 of them, so that is what there is to compare with.
	const long = "$2b$05$abcdefghijklmnopqrstuujf8SX2ahXLwp9w/B.Y5XdysS6yR576q"
	for n, want := range map[int]bool{71: false, 72: true, 80: true} {
		if v, err := pw.Verify(authn.In{Enrollment: enrolled(adopt(t, long)), Answer: secret.Text(strings.Repeat("x", n))}); err != nil || v.OK != want {
			t.Errorf("%d letters: %v, %v", n, v.OK, err)
		}
	}
}

func TestS01_AHashThatCostsTooMuchIsNotTaken(t *testing.T) {
	for name, hash := range map[string]string{
		"nothing":                   "",
		"plain text":                "Correct-Horse-1",
		"MD5":                       "5f4dcc3b5aa765d61d8327deb882cf99",
		"MD5 crypt":                 "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
		"bcrypt that collides":      "$2x$05$abcdefghijklmnopqrstuup/ZY04k2B1Bm4VIaz/HAyydzYFroJPO",
		"bcrypt of 2^14":            "$2b$14$abcdefghijklmnopqrstuup/ZY04k2B1Bm4VIaz/HAyydzYFroJPO",
		"bcrypt of 2^31":            "$2b$31$abcdefghijklmnopqrstuup/ZY04k2B1Bm4VIaz/HAyydzYFroJPO",
		"bcrypt, cut":               "$2b$05$abcdefghijklmnopqrstuup/ZY04k2B1Bm4VIaz",
		"a billion iterations":      "$pbkdf2-sha256$1000000000$c2FsdHNhbHQxMjM0NTY3OA$XG1SVCfoyTr5cXrFcW2yBoPiCur4QMB4GOof2iBMIKQ",
		"iterations below zero":     "$pbkdf2-sha256$-1$c2FsdHNhbHQxMjM0NTY3OA$XG1SVCfoyTr5cXrFcW2yBoPiCur4QMB4GOof2iBMIKQ",
		"a long key":                "$pbkdf2-sha256$100000$c2FsdHNhbHQxMjM0NTY3OA$" + strings.Repeat("XG1S", 40),
		"a short key":               "$pbkdf2-sha256$100000$c2FsdHNhbHQxMjM0NTY3OA$XG1S",
		"a hundred million rounds":  "$6$rounds=100000000$saltstring$vUKPqvZRyry35plHQQGnQE2/5glELgyv0ttigLTYSUzbXgKMjRMVPdk4RUS9MMaOlj0l8RyTT3zhCKfYizdw61",
		"scrypt of 16 GiB":          "$scrypt$ln=24,r=8,p=1$c2FsdHNhbHQxMjM0NTY3OA$9VWGNQoMRsV6rAKHKb6oV6vF6noRYGacRJpv8R7h79A",
		"scrypt, again and again":   "$scrypt$ln=14,r=8,p=1000000$c2FsdHNhbHQxMjM0NTY3OA$9VWGNQoMRsV6rAKHKb6oV6vF6noRYGacRJpv8R7h79A",
		"scrypt, said twice":        "$scrypt$ln=1,ln=24,r=8,p=1$c2FsdHNhbHQxMjM0NTY3OA$9VWGNQoMRsV6rAKHKb6oV6vF6noRYGacRJpv8R7h79A",
		"scrypt that does not say":  "$scrypt$r=8,p=1$c2FsdHNhbHQxMjM0NTY3OA$9VWGNQoMRsV6rAKHKb6oV6vF6noRYGacRJpv8R7h79A",
		"Argon2 of 4 GiB":           "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5a2V5a2V5",
		"Argon2, again and again":   "$argon2i$v=19$m=65536,t=1000,p=1$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5a2V5a2V5",
		"Argon2 that does not say":  "$argon2id$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5a2V5a2V5",
		"Argon2, said behind":       "$argon2id$v=19$m=64,t=1,p=1$m=4194304,t=1,p=1$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5a2V5a2V5",
		"longer than any":           "$6$saltstring$" + strings.Repeat("x", 600),
		"of nobody's making":        "$foo$bar$baz",
		"Django's without a key":    "pbkdf2_sha256$100000$salt",
		"Django's, a billion times": "pbkdf2_sha256$1000000000$saltsalt1234$SdjzUOoRQ/eEHjKtTtbz54iVKf7IPBquDs1TuXEiMwI=",
	} {
		if kept, err := password.Adopt(hash); err == nil {
			t.Errorf("%s is taken: %s", name, kept.Reveal())
		}
	}
}

// FuzzAdopt: whatever is taken can be verified against, and no hash breaks anything.
func FuzzAdopt(f *testing.F) {
	for _, hash := range foreignHashes {
		f.Add(hash)
	}
	f.Fuzz(func(t *testing.T, hash string) {
		kept, err := password.Adopt(hash)
		if err != nil {
			return
		}
		if again, err := password.Adopt(kept.Reveal()); err != nil || again != kept {
			t.Errorf("%q is kept as %q, and that as %q, %v", hash, kept.Reveal(), again.Reveal(), err)
		}
	})
}
