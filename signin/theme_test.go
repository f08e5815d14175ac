package signin

import (
	"strings"
	"testing"
)

func TestColours(t *testing.T) {
	for in, want := range map[string]string{"#0b6b57": "#0b6b57", "#FFF": "#ffffff", "#1a2": "#11aa22"} {
		c, err := parseColour(in)
		if err != nil || c.String() != want {
			t.Errorf("%s reads as %s, %v", in, c, err)
		}
	}
	for _, in := range []string{"", "red", "#12", "#12345", "0b6b57", "#gggggg", "#0b6b57;}", "#+12345"} {
		if c, err := parseColour(in); err == nil {
			t.Errorf("%q reads as %s", in, c)
		}
	}
	if got := contrast(white, black); got < 20.99 || got > 21.01 {
		t.Errorf("white on black is %f", got)
	}
}

// Whatever accent a company has, what is written on it and in it can be read (WCAG 2.2 AA 1.4.3, 1.4.11).
func FuzzThemeCanBeRead(f *testing.F) {
	for _, v := range []uint32{0x0b6b57, 0, 0xffffff, 0x808080, 0xffff00, 0xff0000, 0x0000ff, 0x757575, 0x7f7f7f, 0x00ff00, 0x6a6a00} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v uint32) {
		accent := colour{float64(v>>16&0xff) / 255, float64(v>>8&0xff) / 255, float64(v&0xff) / 255}
		for scheme, grounds := range map[string][]colour{"light": {lightCard, lightPage}, "dark": {darkCard, darkPage}} {
			p := lightPalette(accent)
			if scheme == "dark" {
				p = darkPalette(accent)
			}
			p = rounded(t, p)
			check := func(what string, c, ground colour, least float64) {
				if got := contrast(c, ground); got < least {
					t.Errorf("%s, %s: %s is %.2f, less than %.1f", accent, scheme, what, got, least)
				}
			}
			check("text on a button", p.on, p.fill, 4.5)
			check("text on a button under the pointer", p.on, p.hover, 4.5)
			check("a link on what is soft", p.text, p.soft, 4.5)
			for _, ground := range grounds {
				check("a link", p.text, ground, 4.5)
				check("a button", p.fill, ground, 3)
				check("a ring", p.ring, ground, 3)
			}
		}
	})
}

// rounded is p as a stylesheet can say it.
func rounded(t *testing.T, p palette) palette {
	for _, c := range []*colour{&p.fill, &p.hover, &p.on, &p.text, &p.soft, &p.ring} {
		said, err := parseColour(c.String())
		if err != nil {
			t.Fatal(err)
		}
		*c = said
	}
	return p
}

// The colours that theme.go computes with are those of the stylesheet.
func TestGroundsAreThoseOfTheStylesheet(t *testing.T) {
	light, dark, _ := strings.Cut(string(styleCSS), "@media (prefers-color-scheme: dark)")
	for css, wants := range map[string][]string{
		light: {"--page: " + lightPage.String(), "--card: " + lightCard.String()},
		dark:  {"--page: " + darkPage.String(), "--card: " + darkCard.String()},
	} {
		for _, want := range wants {
			if !strings.Contains(css, want) {
				t.Errorf("the stylesheet lacks %q", want)
			}
		}
	}
	if strings.Contains(string(styleCSS), "http:") && !strings.Contains(string(styleCSS), "http://www.w3.org/2000/svg") {
		t.Error("the stylesheet loads something")
	}
}
