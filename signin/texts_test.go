package signin

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryLanguageHasEveryText(t *testing.T) {
	all := catalogues()
	if got := languages(); !slices.Equal(got, []string{"de", "en", "es", "fr"}) {
		t.Fatalf("languages: %q", got)
	}
	holes := regexp.MustCompile(`\{\d\}`)
	for lang, texts := range all {
		for key, english := range all[fallback] {
			text, ok := texts[key]
			switch {
			case !ok:
				t.Errorf("%s lacks %s", lang, key)
			case strings.TrimSpace(text) == "" || text != strings.TrimSpace(text):
				t.Errorf("%s: %s is empty or has loose spaces: %q", lang, key, text)
			case !slices.Equal(holes.FindAllString(text, -1), holes.FindAllString(english, -1)):
				t.Errorf("%s: %s has other parameters than English: %q", lang, key, text)
			}
		}
		if len(texts) != len(all[fallback]) {
			for key := range texts {
				if _, ok := all[fallback][key]; !ok {
					t.Errorf("%s has %s, which English lacks", lang, key)
				}
			}
		}
	}
}

// Every key that the code or a template names is in the catalogue, and every key of ours is named somewhere.
func TestEveryTextIsUsed(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{"*.go", "templates/*.html"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatal(pattern, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(b)
		}
	}
	text := source.String()
	for _, m := range regexp.MustCompile(`\bT "([a-z.]+)"|\b(?:T|leading|Key:)\(? ?"([a-z]+\.[a-z.]+)"`).FindAllStringSubmatch(text, -1) {
		if key := m[1] + m[2]; catalogues()[fallback][key] == "" && !strings.HasSuffix(key, ".") {
			t.Errorf("there is no text %q", key)
		}
	}
	ours := regexp.MustCompile(`^(signin|password|choose|phone|send|code|form|action|profile|signedout|expired|unavailable|busy|forbidden|broken|denied|stopped|done|hosted|over|refused|account|missing|toolarge|footer|page|notice|need|resend)\.`)
	made := regexp.MustCompile(`^(choose\.(enroll|verify)|phone\.lead|send|account\.weak|unavailable|busy|forbidden|broken|missing|toolarge)\.`) // put together from parts
	for key := range catalogues()[fallback] {
		if ours.MatchString(key) && key != "password.common" && !made.MatchString(key) && !strings.Contains(text, `"`+key+`"`) {
			t.Errorf("nobody says %q", key)
		}
	}
}

func TestSpeak(t *testing.T) {
	for header, want := range map[string]string{
		"":                                  "en",
		"de":                                "de",
		"de-CH":                             "de",
		"DE-at":                             "de",
		"ja":                                "en",
		"ja, fr;q=0.5":                      "fr",
		"fr;q=0.5, es;q=0.8":                "es",
		"en-GB,en;q=0.9,de;q=0.8":           "en",
		"pt-BR, pt;q=0.9, es;q=0.8, *;q=.1": "es",
		"*":                                 "en",
		"de;q=0, fr;q=0.1":                  "fr",
		"de;q=0":                            "en",
		"de;q=x, es;q=2, fr;q=NaN":          "en",
		"fr, de":                            "fr",
		"../../etc/passwd":                  "en",
	} {
		if got := speak(header).Lang; got != want {
			t.Errorf("%q speaks %s, want %s", header, got, want)
		}
	}
}

func FuzzSpeak(f *testing.F) {
	f.Add("en-GB,en;q=0.9,de;q=0.8")
	f.Add(";;,,q=,*;q=0.1")
	f.Fuzz(func(t *testing.T, header string) {
		if got := speak(header).Lang; !slices.Contains(languages(), got) {
			t.Errorf("%q speaks %q", header, got)
		}
	})
}
