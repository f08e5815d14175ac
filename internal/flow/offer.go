package flow

import (
	"slices"

	"latchkey.dev/internal/ident"
)

// An Offer is what a person may do now, derived from state and facts. The faces draw it.
type Offer struct {
	Stage   Stage
	Choices []ident.Kind // what the choosing form beside the step lists, in order
	Current Current
	Skip    bool
	Resend  bool
	// PasswordHere: the first page takes name and password together.
	PasswordHere bool
	// Known: the person is named and proved, so that their id may be shown.
	Known bool
}

// Offers derives the offer.
func Offers(s State, f Facts) Offer {
	o := Offer{Stage: s.Stage, Current: s.Current, Known: len(s.Proofs) > 0}
	need := f.need(s)
	switch s.Stage {
	case Identify:
		o.PasswordHere = !f.Policy.IdentifierFirst
	case VerifySelect, VerifyData, Verify:
		o.Choices = candidates(s, f)
	case EnrollSelect, EnrollData, Enroll:
		o.Choices = slices.Concat(need.Enroll, need.Offer)
		o.Skip = need.Optional()
	}
	o.Resend = s.Current.Challenge != ""
	return o
}
