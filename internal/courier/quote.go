package courier

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"unicode"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

// The most of a carrier's words and of its code that goes into an error.
const (
	wordy = 160
	coded = 120
)

const redacted = "[redacted]"

// quote makes a carrier's words fit for a log: one short line, nothing in it that was handed over, and no
// digits, for those are the number, the code, or nothing that the carrier's own error code does not say.
func (l *Line) quote(t gateway.Text, said string) string {
	said = l.silence(t, said)
	var b strings.Builder
	last, n := ' ', 0
	for _, r := range said {
		switch {
		case unicode.IsDigit(r):
			r = '#'
		case !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar:
			r = ' '
		}
		if r == last && (r == '#' || r == ' ') {
			continue
		}
		if n++; n > wordy {
			b.WriteString("...")
			break
		}
		b.WriteRune(r)
		last = r
	}
	return strings.TrimSpace(b.String())
}

// codeword lets an error code through, whose digits are what it says: short, and nothing of the text.
func (l *Line) codeword(t gateway.Text, code string) string {
	if code == "" {
		return ""
	}
	whole := l.silence(t, code)
	for _, digits := range strings.FieldsFunc(whole, func(r rune) bool { return !unicode.IsDigit(r) }) {
		if len(digits) > 3 && (strings.Contains(t.Body.Reveal(), digits) || strings.Contains(t.To.Reveal(), digits)) {
			return "#"
		}
	}
	if whole != code || len(code) > coded || strings.ContainsFunc(code, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._:/-", r)
	}) {
		return "#"
	}
	return code
}

// silence takes out what was handed over, in every spelling in which it may come back.
func (l *Line) silence(t gateway.Text, said string) string {
	hush := append(spellings(t.To, t.Body, secret.Text(strings.TrimPrefix(t.To.Reveal(), "+"))), l.hush...)
	for line := range strings.Lines(t.Body.Reveal()) {
		hush = append(hush, strings.TrimSpace(line))
	}
	for _, h := range hush {
		if len(h) > 2 { // or an empty line would be found between all letters
			said = strings.ReplaceAll(said, h, redacted)
		}
	}
	return said
}

// spellings returns secrets as they are, and as forms, JSON and Basic credentials write them.
func spellings(secrets ...secret.Text) []string {
	var all []string
	for _, s := range secrets {
		plain := s.Reveal()
		quoted, _ := json.Marshal(plain) // a string marshals
		all = append(all, plain, url.QueryEscape(plain), url.PathEscape(plain),
			strings.Trim(string(quoted), `"`), base64.StdEncoding.EncodeToString([]byte(plain)))
	}
	return all
}
