package signin

import (
	"regexp"
	"strings"
	"testing"
)

func TestS30_PhoneNumber(t *testing.T) {
	for typed, want := range map[string][2]string{
		"+15551234567":                               {"+15551234567", ""},
		" +1 (555) 123-4567 ":                        {"+15551234567", ""},
		"+49.1512/345 67 89":                         {"+4915123456789", ""},
		"\u202a+1\u00a0555\u2011123\u20134567\u202c": {"+15551234567", ""},
		"＋15551234567":                               {"+15551234567", ""},
		"":                                           {"", "need.phone"},
		"+":                                          {"", "need.phone"},
		" - ":                                        {"", "need.phone"},
		"5551234567":                                 {"", "need.phone.plus"},
		"0015551234567":                              {"", "need.phone.plus"},
		"+0155512345":                                {"", "need.phone.plus"},
		"+1555123":                                   {"", "need.phone.length"},
		"+1234567890123456":                          {"", "need.phone.length"},
		"555-CALL":                                   {"", "need.phone.chars"},
		"+1 555 123 4567 x9":                         {"", "need.phone.chars"},
		"+1+5551234567":                              {"", "need.phone.chars"},
		"+１５５５１２３４５６７":                               {"", "need.phone.chars"},
		"+1555\x00123456":                            {"", "need.phone.chars"},
	} {
		number, problem := phoneNumber(typed)
		if number != want[0] || problem != want[1] {
			t.Errorf("%q reads as %q, %q, want %q", typed, number, problem, want)
		}
	}
}

func TestS37_Masked(t *testing.T) {
	for number, want := range map[string]string{
		"+15551234567":   "+1 ••• ••• 4567",
		"+4915123456789": "+49 ••• ••• 6789",
		"+35312345678":   "+353 ••• ••• 5678",
		"+79161234567":   "+7 ••• ••• 4567",
		"":               "",
		"+1555":          "",
	} {
		if got := strings.ReplaceAll(masked(number), "\u00a0", " "); got != want {
			t.Errorf("%s is shown as %q, want %q", number, got, want)
		}
	}
	if got := hint("+1 XXX-XXX-4567"); got != masked("+15551234567") {
		t.Errorf("the engine's hint is shown as %q", got)
	}
	if got := hint("i**a@h***o.net"); got != "i**a@h***o.net" {
		t.Errorf("an address is shown as %q", got)
	}
}

func FuzzPhoneNumber(f *testing.F) {
	f.Add("+1 (555) 123-4567")
	f.Add("555-CALL")
	e164 := regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)
	f.Fuzz(func(t *testing.T, typed string) {
		number, problem := phoneNumber(typed)
		if (problem == "") != e164.MatchString(number) || problem != "" && catalogues()[fallback][problem] == "" {
			t.Errorf("%q reads as %q, %q", typed, number, problem)
		}
		if problem == "" {
			if shown := masked(number); regexp.MustCompile(`\D`).ReplaceAllString(shown, "") == number[1:] {
				t.Errorf("%s is not masked: %s", number, shown)
			}
		}
	})
}
