// Package phone is the authenticator that a person has in their pocket: a number that gets text messages.
//
// It judges numbers, derives codes and compares answers. It sends nothing and stores nothing: the code
// is a keyed function of the challenge (S-07), so whoever steals the database holds no code.
package phone

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
)

// Digits is the length of a code.
const Digits = 6

// Config says how numbers and codes are made.
type Config struct {
	Keys *secret.Keys
	// Countries are the calling codes that may be texted, without +, and Regions the regions (DE). Both nil allows
	// all (dev); empty allows none (S-31). The code 1 is the United States and Canada: what else has it is no
	// part of them, costs many times as much, and has to be listed by its region.
	Countries []int
	Regions   []string
	// Pin fixes the code of a number, for tests. Only the dev door sets it.
	Pin func(number string) (code string, ok bool)
}

// Phone verifies codes sent to a number.
type Phone struct{ c Config }

// New makes the authenticator.
func New(c Config) *Phone { return &Phone{c} }

// Kind is ident.Phone.
func (*Phone) Kind() ident.Kind { return ident.Phone }

// Enroll judges a number as it was typed.
func (p *Phone) Enroll(in authn.In) (authn.Out, error) {
	number, err := p.Number(in.Data.Reveal())
	if err != nil {
		return authn.Out{}, err
	}
	return authn.Out{Secret: secret.Text(number), Hint: Mask(number)}, nil
}

// Challenge texts the enrolled number.
func (p *Phone) Challenge(in authn.In) (authn.Out, error) {
	return authn.Out{Secret: in.Enrollment.Secret, Hint: in.Enrollment.Hint, Proved: true}, nil
}

// Verify compares. An expired code is a wrong one (S-08).
func (p *Phone) Verify(in authn.In) (authn.Verdict, error) {
	right := subtle.ConstantTimeCompare([]byte(p.Code(in.Challenge).Reveal()), []byte(in.Answer.Reveal())) == 1
	return authn.Verdict{OK: right && in.Now.Before(in.Challenge.Expires)}, nil
}

// Code derives the code of a challenge: six digits, each as likely as any other.
func (p *Phone) Code(c authn.Challenge) secret.Text {
	if p.c.Pin != nil {
		if code, ok := p.c.Pin(c.Number.Reveal()); ok {
			return secret.Text(code)
		}
	}
	const space = 1_000_000
	const fair = (1 << 32) / space * space // above it the remainder would favour small codes
	for round := 0; ; round++ {
		d := p.c.Keys.MAC(secret.MACCode, c.Binding, string(c.Nonce[:]), strconv.Itoa(round))
		for i := 0; i+4 <= len(d); i += 4 {
			if v := uint64(binary.BigEndian.Uint32(d[i:])); v < fair {
				return secret.Text(fmt.Sprintf("%0*d", Digits, v%space))
			}
		}
	}
}

// WellFormed reports whether an answer can be a code at all: six ASCII digits (S-11).
func WellFormed(answer string) bool {
	if len(answer) != Digits {
		return false
	}
	for i := range len(answer) {
		if answer[i] < '0' || answer[i] > '9' {
			return false
		}
	}
	return true
}

// nobody lists calling codes that belong to no country and cost what they like (S-30): universal and
// shared-cost services, satellites, networks.
var nobody = []int{800, 808, 870, 878, 881, 882, 883, 888, 979}

// Number normalises what was typed to E.164, or refuses it.
func (p *Phone) Number(typed string) (string, error) {
	number, err := p.normalise(typed)
	if err != nil {
		return "", fault.New(fault.Invalid, msg.InvalidPhone, "phone number: %w", err)
	}
	return number, nil
}

func (p *Phone) normalise(typed string) (string, error) {
	number := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -.()\u00a0", r) {
			return -1
		}
		return r
	}, typed)
	digits, plus := strings.CutPrefix(number, "+")
	switch {
	case len(typed) > 40:
		return "", fmt.Errorf("%d bytes long", len(typed))
	case !plus:
		return "", fmt.Errorf("does not begin with +")
	case len(digits) < 8 || len(digits) > 15:
		return "", fmt.Errorf("%d digits", len(digits))
	case strings.Trim(digits, "0123456789") != "":
		return "", fmt.Errorf("not digits alone")
	}
	parsed, err := phonenumbers.Parse(number, "")
	if err != nil {
		return "", err
	}
	code := int(parsed.GetCountryCode())
	switch {
	case slices.Contains(nobody, code):
		return "", fmt.Errorf("+%d is no country", code)
	case !p.c.allow(code, regionOf(parsed)):
		return "", fmt.Errorf("+%d in %s is not allowed", code, regionOf(parsed))
	case !phonenumbers.IsPossibleNumber(parsed):
		return "", fmt.Errorf("not a length for +%d", code)
	}
	switch phonenumbers.GetNumberType(parsed) {
	case phonenumbers.PREMIUM_RATE, phonenumbers.SHARED_COST, phonenumbers.UAN, phonenumbers.VOICEMAIL, phonenumbers.PAGER, phonenumbers.TOLL_FREE,
		phonenumbers.PERSONAL_NUMBER: // +44 70: forwarded at the sender's expense
		return "", fmt.Errorf("a service number")
	}
	// Premium, assigned or not: the library knows the assigned area codes only, and no exchanges.
	if strings.HasPrefix(number, "+1900") || code == northAmerica && number[5:8] == "976" {
		return "", fmt.Errorf("a premium number")
	}
	// What remains must be what was typed: a national prefix that the parser dropped is not ours to drop.
	if phonenumbers.Format(parsed, phonenumbers.E164) != number {
		return "", fmt.Errorf("not in the international form")
	}
	return number, nil
}

// northAmerica is the calling code that two dozen countries share.
const northAmerica = 1

func (c Config) allow(code int, region string) bool {
	switch {
	case c.Countries == nil && c.Regions == nil, slices.Contains(c.Regions, region):
		return true
	case code == northAmerica && region != "US" && region != "CA":
		return false
	}
	return slices.Contains(c.Countries, code)
}

// regionOf is the region of a number, and of one that nobody was given the main region of its calling code.
func regionOf(number *phonenumbers.PhoneNumber) string {
	if region := phonenumbers.GetRegionCodeForNumber(number); region != "" {
		return region
	}
	return phonenumbers.GetRegionCodeForCountryCode(int(number.GetCountryCode()))
}

// RegionsOf are the regions that a calling code stands for where regions are told apart: routes, prices, budgets.
func RegionsOf(code int) []string {
	if code == northAmerica {
		return []string{"US", "CA"}
	}
	return phonenumbers.GetRegionCodesForCountryCode(code)
}

// Country is the region of a number as [Phone.Number] returned it, DE; empty if it has none.
func (p *Phone) Country(number secret.Text) string {
	parsed, err := phonenumbers.Parse(number.Reveal(), "")
	if err != nil {
		return ""
	}
	return regionOf(parsed)
}

// Mask shows the calling code and the last four digits, and nothing else (S-37).
func Mask(number string) string {
	parsed, err := phonenumbers.Parse(number, "")
	if err != nil || len(number) < 8 {
		return "+X XXX-XXX-XXXX"
	}
	return fmt.Sprintf("+%d XXX-XXX-%s", parsed.GetCountryCode(), number[len(number)-4:])
}
