package signin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// defaultAccent is Latchkey's own green.
const defaultAccent = "#0b6b57"

// A colour is sRGB, 0 to 1 each.
type colour struct{ r, g, b float64 }

var (
	white      = colour{1, 1, 1}
	black      = colour{0, 0, 0}
	lightCard  = colour{1, 1, 1}
	lightPage  = colour{0xf4 / 255.0, 0xf5 / 255.0, 0xf2 / 255.0}
	darkCard   = colour{0x18 / 255.0, 0x1d / 255.0, 0x1b / 255.0}
	darkPage   = colour{0x0f / 255.0, 0x13 / 255.0, 0x12 / 255.0}
	readable   = 4.6 // WCAG 2.2 1.4.3 asks 4.5 of text; rounding to bytes costs a little
	vivid      = 6.5 // on dark grounds thin strokes need more than the minimum to look as strong
	noticeable = 3.1 // and 1.4.11 asks 3 of the edge of a control
)

// parseColour reads #rgb and #rrggbb.
func parseColour(s string) (colour, error) {
	h, ok := strings.CutPrefix(s, "#")
	if len(h) == 3 {
		h = string([]byte{h[0], h[0], h[1], h[1], h[2], h[2]})
	}
	v, err := strconv.ParseUint(h, 16, 32)
	if !ok || len(h) != 6 || err != nil {
		return colour{}, fmt.Errorf("colour %q is not of the form #rrggbb", s)
	}
	return colour{float64(v>>16&0xff) / 255, float64(v>>8&0xff) / 255, float64(v&0xff) / 255}, nil
}

func (c colour) String() string {
	b := func(v float64) int { return int(math.Round(v * 255)) }
	return fmt.Sprintf("#%02x%02x%02x", b(c.r), b(c.g), b(c.b))
}

// mix goes from c to d; share 0 is c and 1 is d.
func (c colour) mix(d colour, share float64) colour {
	m := func(a, b float64) float64 { return a + (b-a)*share }
	return colour{m(c.r, d.r), m(c.g, d.g), m(c.b, d.b)}
}

// luminance is relative luminance as WCAG 2.2 defines it.
func (c colour) luminance() float64 {
	l := func(v float64) float64 {
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*l(c.r) + 0.7152*l(c.g) + 0.0722*l(c.b)
}

// contrast is the contrast ratio of WCAG 2.2, 1 to 21.
func contrast(c, d colour) float64 {
	a, b := c.luminance(), d.luminance()
	if a < b {
		a, b = b, a
	}
	return (a + 0.05) / (b + 0.05)
}

// against moves c towards to until it stands out against every one of the grounds by ratio.
func (c colour) against(ratio float64, to colour, grounds ...colour) colour {
	for share := 0.0; share <= 1; share += 0.02 {
		moved, enough := c.mix(to, share), true
		for _, ground := range grounds {
			enough = enough && contrast(moved, ground) >= ratio
		}
		if enough {
			return moved
		}
	}
	return to
}

// on is the text colour for a ground: white where it can be read, else black, which then can.
func on(ground colour) colour {
	if contrast(white, ground) >= readable {
		return white
	}
	return black
}

// A palette is what one accent colour becomes in one scheme.
type palette struct{ fill, hover, on, text, soft, ring colour }

func lightPalette(accent colour) palette {
	fill := accent.against(noticeable, black, lightCard, lightPage)
	ink := on(fill)
	away := black // hovering goes away from the text, so that it stays readable
	if ink == black {
		away = white
	}
	soft := accent.mix(lightCard, 0.91)
	hover := fill.mix(away, 0.14)
	return palette{fill: fill, hover: hover, on: ink, soft: soft,
		text: accent.against(readable, black, lightCard, lightPage, soft),
		ring: accent.against(noticeable, black, lightCard, lightPage)}
}

func darkPalette(accent colour) palette {
	fill := accent.against(noticeable, white, darkCard, darkPage)
	ink := on(fill)
	away := white
	if ink == white {
		away = black
	}
	soft := accent.mix(darkCard, 0.84)
	hover := fill.mix(away, 0.10)
	return palette{fill: fill, hover: hover, on: ink, soft: soft,
		text: accent.against(vivid, white, darkCard, darkPage, soft),
		ring: accent.against(noticeable, white, darkCard, darkPage)}
}

// themeCSS is the stylesheet that carries the accent colour. It is a file of its own because the pages allow no inline
// style (S-43), and its colours are computed so that any accent a company has can be read (WCAG 2.2 AA).
func themeCSS(accent colour) string {
	vars := func(p palette) string {
		return fmt.Sprintf("--accent:%s;--accent-hover:%s;--on-accent:%s;--accent-text:%s;--accent-soft:%s;--ring:%s",
			p.fill, p.hover, p.on, p.text, p.soft, p.ring)
	}
	return fmt.Sprintf(":root{%s}\n@media (prefers-color-scheme:dark){:root{%s}}\n", vars(lightPalette(accent)), vars(darkPalette(accent)))
}
