package signin

import (
	"strings"
	"unicode"
)

// phoneNumber reads what a person typed as a number in E.164: + and 8 to 15 digits (S-30). Spaces, dashes, dots, slashes
// and brackets may stand between, and the invisible marks that come along when a number is copied from an address book.
// problem is a text key, empty if the number can be sent; whether it exists is for others to say.
func phoneNumber(typed string) (number, problem string) {
	var b strings.Builder
	for _, r := range strings.TrimSpace(typed) {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r), unicode.Is(unicode.Cf, r), strings.ContainsRune("()[]./", r):
		case r == '+' || r == '＋':
			b.WriteByte('+')
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			return "", "need.phone.chars"
		}
	}
	number = b.String()
	digits := strings.TrimPrefix(number, "+")
	switch {
	case digits == "":
		return "", "need.phone"
	case strings.Contains(digits, "+"):
		return "", "need.phone.chars"
	case digits == number || digits[0] == '0':
		return "", "need.phone.plus"
	case len(digits) < 8 || len(digits) > 15:
		return "", "need.phone.length"
	}
	return number, ""
}

// masked shows the country code and the last four digits of a number, no more (S-37).
func masked(number string) string {
	if len(number) < 9 {
		return ""
	}
	return number[:1+countryCode(number[1:])] + "\u00a0•••\u00a0•••\u00a0" + number[len(number)-4:] // in one line
}

// countryCode is how many digits the country code has (ITU-T E.164 4.1): one in zones 1 and 7, two in the places named,
// else three.
func countryCode(digits string) int {
	const two = "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98"
	switch {
	case digits[0] == '1' || digits[0] == '7':
		return 1
	case strings.Contains(two, digits[:2]):
		return 2
	default:
		return 3
	}
}

// hint shows a masked number the way masked does; other hints are shown as the engine gives them.
func hint(h string) string {
	if !strings.HasPrefix(h, "+") {
		return h
	}
	return strings.NewReplacer("X", "•", "-", "\u00a0", " ", "\u00a0").Replace(h)
}
