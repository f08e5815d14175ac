// Package policy decides which assurance an application asks for, and what is still missing.
//
// A [Policy] belongs to an application. Given what the person has enrolled, proved and skipped,
// [Policy.Need] says what comes next; whether and how that is offered is flow's business.
package policy

import (
	"slices"

	"latchkey.dev/internal/ident"
)

// A Policy is an application's rule for signing in.
type Policy struct {
	// Require lists the kinds that must be proved, in order. One that is not enrolled is enrolled on the way.
	Require []ident.Kind
	// Offer lists kinds that a person without them is invited to enroll and may skip. Once enrolled, they are asked for.
	Offer []ident.Kind
	// IdentifierFirst asks for the name alone on the first page.
	IdentifierFirst bool
}

// The policies that the journey knows.
var (
	PasswordOnly             = Policy{Require: []ident.Kind{ident.Password}}
	PasswordAndPhone         = Policy{Require: []ident.Kind{ident.Password, ident.Phone}}
	PasswordAndOptionalPhone = Policy{Require: []ident.Kind{ident.Password}, Offer: []ident.Kind{ident.Phone}}
)

// TwoFactors reports that a password alone never meets the policy.
func (p Policy) TwoFactors() bool { return len(p.Require) > 1 }

// Have is what is known about the person in this sign-in.
type Have struct {
	Enrolled []ident.Kind
	Proved   []ident.Kind
	Skipped  []ident.Kind
}

// Need is what is missing. At most one list is not empty; all empty means the policy is met.
type Need struct {
	Verify []ident.Kind // enrolled, asked for, not yet proved
	Enroll []ident.Kind // required, not enrolled
	Offer  []ident.Kind // may be enrolled or skipped
}

// Met reports that nothing is missing.
func (n Need) Met() bool { return len(n.Verify)+len(n.Enroll)+len(n.Offer) == 0 }

// Optional reports that what is missing may be skipped.
func (n Need) Optional() bool { return len(n.Verify)+len(n.Enroll) == 0 && len(n.Offer) > 0 }

// Need judges. The first required kind comes before the others whatever else is enrolled: no code goes
// out before the password is right (S-19), and nothing is enrolled before all that is enrolled was proved (S-22).
func (p Policy) Need(h Have) Need {
	var n Need
	for i, k := range p.Require {
		switch {
		case slices.Contains(h.Proved, k):
		case slices.Contains(h.Enrolled, k):
			n.Verify = append(n.Verify, k)
			if i == 0 {
				return n
			}
		default:
			n.Enroll = append(n.Enroll, k)
		}
	}
	for _, k := range p.Offer {
		switch {
		case slices.Contains(h.Proved, k):
		case slices.Contains(h.Enrolled, k):
			n.Verify = append(n.Verify, k)
		case slices.Contains(h.Skipped, k):
		default:
			n.Offer = append(n.Offer, k)
		}
	}
	switch {
	case len(n.Verify) > 0:
		n.Enroll, n.Offer = nil, nil
	case len(n.Enroll) > 0:
		n.Offer = nil
	}
	return n
}

// The authentication context classes that applications may ask for by acr_values.
const (
	ACROneFactor       = "urn:okta:loa:1fa:any"
	ACRPassword        = "urn:okta:loa:1fa:pwd"
	ACRTwoFactors      = "urn:okta:loa:2fa:any"
	ACRTwoFactorsIfAny = "urn:okta:loa:2fa:any:ifpossible"
)

// ACRValues are the classes we can satisfy, for discovery.
func ACRValues() []string {
	return []string{ACROneFactor, ACRPassword, ACRTwoFactors, ACRTwoFactorsIfAny}
}

// Raise returns the policy with what a class asks for on top; a class can raise a policy, never lower
// it. ok is false for a class we cannot satisfy (phr among them).
func (p Policy) Raise(acr string) (raised Policy, ok bool) {
	switch acr {
	case "", ACROneFactor, ACRPassword:
		return p, true
	case ACRTwoFactors:
		if !slices.Contains(p.Require, ident.Phone) {
			p.Require = append(slices.Clone(p.Require), ident.Phone)
			p.Offer = slices.DeleteFunc(slices.Clone(p.Offer), func(k ident.Kind) bool { return k == ident.Phone })
		}
		return p, true
	case ACRTwoFactorsIfAny:
		if !slices.Contains(p.Require, ident.Phone) && !slices.Contains(p.Offer, ident.Phone) {
			p.Offer = append(slices.Clone(p.Offer), ident.Phone)
		}
		return p, true
	}
	return p, false
}

// AMR returns the authentication method references of what was proved: one per method, mfa when two
// kinds were used, mca when one of them came over a second channel (RFC 8176).
func AMR(methods []ident.Method) []string {
	var amr []string
	kinds, channel := map[string]bool{}, false
	for _, m := range methods {
		switch m {
		case ident.MethodPassword:
			amr = append(amr, "pwd")
		case ident.MethodSMS:
			amr = append(amr, "sms")
			channel = true
		default:
			amr = append(amr, string(m))
		}
		kinds[string(m)] = true
	}
	if channel {
		amr = append(amr, "mca")
	}
	if len(kinds) > 1 {
		amr = append(amr, "mfa")
	}
	return amr
}
