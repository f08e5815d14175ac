package msg

import (
	"regexp"
	"slices"
	"testing"
)

func TestEveryTextInEveryLanguageWithTheSameParameters(t *testing.T) {
	param := regexp.MustCompile(`\{\d\}`)
	for key, row := range catalogue {
		want := param.FindAllString(row[English], -1)
		slices.Sort(want)
		for l := English; l <= Spanish; l++ {
			got := param.FindAllString(row[l], -1)
			slices.Sort(got)
			if row[l] == "" || !slices.Equal(got, want) {
				t.Errorf("%s in %s is %q, its parameters %v, want %v", key, l, row[l], got, want)
			}
		}
	}
}

// Published sample applications compare these word for word.
func TestTextsThatAreAPI(t *testing.T) {
	for want, got := range map[string]string{
		"There is no account with the Username Mory.": Text(English, UnknownUser, "Mory"),
		"Authentication failed":                       Text(English, AuthenticationFailed),
		"Invalid Phone Number.":                       Text(English, InvalidPhone),
		"Invalid code. Try again.":                    Text(English, InvalidCode),
		"Phone":                                       Text(English, LabelPhone),
		"Password":                                    Text(English, LabelPassword),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	for header, want := range map[string]Lang{
		"": English, "*": English, "de": German, "de-AT,de;q=0.9,en;q=0.8": German, "it,fr;q=0.5,en;q=0.4": French,
		"en;q=0.1, es-MX;q=0.7": Spanish, "DE": German, "nonsense;;q=,": English, "fr;q=0": English, "zh": English,
	} {
		if got := Match(header); got != want {
			t.Errorf("%q gets %s, want %s", header, got, want)
		}
	}
}

func TestAnApplicationsLanguagesComeFirst(t *testing.T) {
	for _, test := range []struct {
		locales, header string
		want            Lang
	}{
		{"", "de", German}, {"fr-CA en", "de", French}, {"ja ES-419", "de", Spanish}, {"ja", "de", German}, {"en", "de", English}, {"", "", English},
	} {
		if got := Prefer(test.locales, test.header); got != test.want {
			t.Errorf("%q before %q: %s, want %s", test.locales, test.header, got, test.want)
		}
	}
}
