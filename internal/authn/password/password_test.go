package password_test

import (
	"fmt"
	"strings"
	"testing"

	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
)

// cheap keeps the tests quick; what is tested does not depend on the cost.
var cheap = password.Params{Memory: 64, Time: 1, Threads: 1}

func enrolled(hash secret.Text) ident.Enrollment {
	return ident.Enrollment{ID: "lae1", Kind: ident.Password, Secret: hash}
}

func TestS01_HashesArePHCOfArgon2id(t *testing.T) {
	pw := password.New(password.DefaultParams())
	hash := pw.Hash("Correct-Horse-1")
	if !strings.HasPrefix(hash.Reveal(), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash is %s", hash.Reveal())
	}
	if pw.Hash("Correct-Horse-1") == hash {
		t.Error("two hashes of one password are equal: no salt")
	}
}

func TestVerify(t *testing.T) {
	pw := password.New(cheap)
	hash := pw.Hash("Correct-Horse-1é")
	for name, c := range map[string]struct {
		enrollment ident.Enrollment
		answer     secret.Text
		ok         bool
	}{
		"right":                      {enrolled(hash), "Correct-Horse-1é", true},
		"S-02 composed otherwise":    {enrolled(hash), "Correct-Horse-1e\u0301", true},
		"wrong":                      {enrolled(hash), "correct-horse-1é", false},
		"S-01 not cut off":           {enrolled(pw.Hash(secret.Text(strings.Repeat("a", 100)))), secret.Text(strings.Repeat("a", 99)), false},
		"spaces count":               {enrolled(hash), "Correct-Horse-1é ", false},
		"S-25 nobody":                {ident.Enrollment{}, "Correct-Horse-1é", false},
		"S-25 nobody, no password":   {ident.Enrollment{}, "", false},
		"password with a NUL within": {enrolled(pw.Hash("a\x00b")), "a", false},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := pw.Verify(authn.In{Enrollment: c.enrollment, Answer: c.answer})
			if err != nil || v.OK != c.ok || v.Replace != "" {
				t.Errorf("got %+v, %v", v, err)
			}
		})
	}
}

func TestS01_GrownParametersHashAgain(t *testing.T) {
	old := password.New(cheap).Hash("Correct-Horse-1")
	grown := password.New(password.Params{Memory: 128, Time: 1, Threads: 1})
	v, err := grown.Verify(authn.In{Enrollment: enrolled(old), Answer: "Correct-Horse-1"})
	if err != nil || !v.OK || !strings.Contains(v.Replace.Reveal(), "m=128") {
		t.Fatalf("got %v %v, replaced by %s", v.OK, err, v.Replace.Reveal())
	}
	if v, _ := grown.Verify(authn.In{Enrollment: enrolled(old), Answer: "wrong"}); v.Replace != "" {
		t.Error("a wrong password replaces the hash")
	}
}

func TestHashFromElsewhereIsAnErrorNotANo(t *testing.T) {
	for _, phc := range []string{"", "x", "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5", "$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5a2V5a2V5"} {
		if phc == "" {
			continue // no secret at all is a user without a password
		}
		if v, err := password.New(cheap).Verify(authn.In{Enrollment: enrolled(secret.Text(phc)), Answer: "x"}); err == nil || v.OK {
			t.Errorf("%q: %+v, %v", phc, v, err)
		}
	}
}

func TestS02_LongPasswordIsRefusedBeforeHashing(t *testing.T) {
	_, err := password.New(cheap).Verify(authn.In{Answer: secret.Text(strings.Repeat("x", password.MaxBytes+1))})
	if fault.As(err).Key != msg.Malformed || fault.As(err).Kind != fault.Invalid {
		t.Errorf("got %v", err)
	}
}

func TestS02_S03_NewPasswords(t *testing.T) {
	for candidate, want := range map[string]msg.Key{
		"Correct-Horse-1":              "",
		"purple tractor 91 lantern":    "",
		"ünïcødé ßtring":               "",
		"seven":                        msg.PasswordRequirements,
		strings.Repeat("abcdefg ", 33): msg.PasswordRequirements,
		strings.Repeat("x", 1025):      msg.Malformed,
		"password":                     msg.PasswordCommon,
		"Passw0rd!2024":                msg.PasswordCommon,
		"12345678":                     msg.PasswordCommon,
		"iloveyou99":                   msg.PasswordCommon,
		"dragonmaster":                 msg.PasswordCommon,
		"1qaz2wsx":                     msg.PasswordCommon,
		"q1w2e3r4t5y6":                 msg.PasswordCommon,
		"a1 b2 c3 d4 tulip":            "",
		"latchkey1":                    msg.PasswordRequirements,
		"mary-acme-2026":               "",
		"Marianne1984":                 msg.PasswordRequirements,
	} {
		t.Run(candidate, func(t *testing.T) {
			err := password.Check(secret.Text(candidate), password.MinLength, "marianne@example.com", "Mary", "Acme")
			if err == nil && want == "" {
				return
			}
			if err == nil || fault.As(err).Key != want {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestS02_APasswordAloneIsLonger(t *testing.T) {
	if two, alone := password.Least(true), password.Least(false); two != 8 || alone != 15 {
		t.Errorf("%d with a second factor, %d without", two, alone)
	}
	for candidate, good := range map[string]bool{
		"violet anchor8":                 false, // 14
		"violet anchor 8":                true,
		"\u0065\u0301" + "iolet anchor8": false, // two code points that are one after NFC
	} {
		err := password.Check(secret.Text(candidate), password.MinAlone, "marianne@example.com")
		if good != (err == nil) || err != nil && !strings.Contains(fmt.Sprint(fault.As(err).Params), "15") {
			t.Errorf("%q: %v", candidate, err)
		}
	}
}
