// Package flow decides what happens next in a sign-in.
//
// A sign-in is a [State] that changes by [Event]s, through [Next] alone. Next waits for nothing and
// looks nothing up: the caller brings [Facts] and carries out [Effect]s, so any sign-in can be
// replayed in a test. Delivery, proof checking and storage live elsewhere. What a person is offered is
// derived by [Offers] and never stored. Start at the table [moves].
package flow

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
)

// A Handle finds a flow: the digest of its state handle. The handle itself is with the client.
type Handle = secret.Digest

// ChallengeID names a code on its way: chl….
type ChallengeID string

// Request is what a flow was begun for. It is bound at interact and never changes (S-17).
type Request struct {
	Server    string
	Client    oauth.ClientID
	Redirect  string
	Scopes    []string
	State     string
	Nonce     string
	Challenge string // PKCE, S256
	ACR       string
	MaxAge    time.Duration
	Source    string        // the person's address, if an application that proved itself spoke for them; else empty
	Device    secret.Digest // likewise what it calls their device
	Ending    Ending
	Mode      string       // response_mode of a redirect ending
	Key       string       // dpop_jkt: the thumbprint of the key that the tokens will be bound to, or empty
	Subject   ident.UserID // who it has to be (id_token_hint, or whose phone is replaced), or empty
	Session   string       // the browser's session when it began, or empty
	Replace   ident.Kind   // what is to be set up anew, in place of what the person has of that kind; or empty
}

// Ending is how a sign-in gives its code to the application.
type Ending string

// The endings. In the first the application itself asks what comes next; in the second a browser does, on our
// pages, and is sent back to the application with the code.
const (
	Interaction Ending = ""
	Redirect    Ending = "redirect"
)

// Here is the mode of a redirect ending that stays on our own pages: nobody is given a code.
const Here = "here"

// A Stage is where a sign-in stands. Its names are those of the form that comes first there.
type Stage string

// The stages. Each asks for one thing.
const (
	Identify     Stage = "identify"                          // who are you (and your password)
	VerifySelect Stage = "select-authenticator-authenticate" // which of your authenticators
	VerifyData   Stage = "authenticator-verification-data"   // by which method
	Verify       Stage = "challenge-authenticator"           // the proof
	EnrollSelect Stage = "select-authenticator-enroll"       // what to set up
	EnrollData   Stage = "authenticator-enrollment-data"     // its data: the phone number
	Enroll       Stage = "enroll-authenticator"              // the proof of the new one
	Done         Stage = "done"
	Cancelled    Stage = "cancelled"
)

// State is everything that is remembered of one sign-in.
type State struct {
	Handle      Handle
	Interaction secret.Digest // of the interaction handle; zero after a cancel made this flow
	Version     int64         // counts the saves; the store compares it
	Stage       Stage
	Request     Request
	Created     time.Time
	Seen        time.Time // last step taken; reading does not count
	Login       string    // as typed, to be shown again
	User        ident.UserID
	Proofs      []Proof
	Skipped     []ident.Kind
	Borrowed    bool // some of the proofs are the browser's session's: they count as long as that lives
	Current     Current
	Outcome     Outcome
}

// A Proof is one authenticator shown to be in the person's hands.
type Proof struct {
	Kind   ident.Kind
	Method ident.Method
	At     time.Time
}

// Current is the authenticator in work.
type Current struct {
	Kind       ident.Kind
	Method     ident.Method
	Enrollment ident.EnrollmentID // verifying this one
	Challenge  ChallengeID        // the code that is out, if the kind sends one
	Number     secret.Text        // enrolling: the number the code went to
	Hint       string             // enrolling: the same, masked
}

// Outcome remembers the end, so that the very same last answer can be answered again (S-23).
type Outcome struct {
	At      time.Time
	Answer  secret.Digest // keyed; zero for a password, which is verified anew
	Repeats int
}

// Begin makes the first state.
func Begin(h Handle, interaction secret.Digest, r Request, now time.Time) State {
	return State{Handle: h, Interaction: interaction, Stage: Identify, Request: r, Created: now, Seen: now}
}

// Expires is when the flow ends unless something happens (S-18).
func (s State) Expires(l limit.Flow) time.Time {
	idle, absolute := s.Seen.Add(l.Idle), s.Created.Add(l.Absolute)
	if absolute.Before(idle) {
		return absolute
	}
	return idle
}

// Live reports that steps can still be taken.
func (s State) Live(l limit.Flow, now time.Time) bool {
	return s.Stage != Done && s.Stage != Cancelled && now.Before(s.Expires(l))
}

// Proved lists the kinds shown so far.
func (s State) Proved() []ident.Kind {
	var kinds []ident.Kind
	for _, p := range s.Proofs {
		kinds = append(kinds, p.Kind)
	}
	return kinds
}

// Methods lists the methods shown so far, in order.
func (s State) Methods() []ident.Method {
	var methods []ident.Method
	for _, p := range s.Proofs {
		methods = append(methods, p.Method)
	}
	return methods
}

// Fresh returns the proofs that are not older than age; all of them if age is nothing (max_age).
func Fresh(proofs []Proof, age time.Duration, now time.Time) []Proof {
	var fresh []Proof
	for _, p := range proofs {
		if age == 0 || !p.At.Before(now.Add(-age)) {
			fresh = append(fresh, p)
		}
	}
	return fresh
}

// Complete reports that everything a person has was shown, and none of it longer ago than age: a password alone does
// not do for who has a phone as well (S-38).
func Complete(proofs []Proof, have []ident.Enrollment, age time.Duration, now time.Time) bool {
	lately := Fresh(proofs, age, now)
	for _, e := range have {
		if !slices.ContainsFunc(lately, func(p Proof) bool { return p.Kind == e.Kind }) {
			return false
		}
	}
	return len(lately) > 0
}

// Merge lays newer proofs over older ones: the last of each kind, in the order of time.
func Merge(proofs ...[]Proof) []Proof {
	last := map[ident.Kind]Proof{}
	for _, p := range slices.Concat(proofs...) {
		if had, ok := last[p.Kind]; !ok || p.At.After(had.At) {
			last[p.Kind] = p
		}
	}
	return slices.SortedFunc(maps.Values(last), func(a, b Proof) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind)) })
}

// AuthTime is when the last proof was shown.
func (s State) AuthTime() time.Time {
	if n := len(s.Proofs); n > 0 {
		return s.Proofs[n-1].At
	}
	return time.Time{}
}

// Facts are what Next must know of the world: the clock, the application's policy, and what the person has.
type Facts struct {
	Now         time.Time
	Policy      policy.Policy
	Enrollments []ident.Enrollment
}

func (f Facts) need(s State) policy.Need {
	var enrolled []ident.Kind
	for _, e := range f.Enrollments {
		enrolled = append(enrolled, e.Kind)
	}
	return f.Policy.Need(policy.Have{Enrolled: enrolled, Proved: s.Proved(), Skipped: s.Skipped})
}

// An Event is what happened.
type Event interface{ event() }

// The events.
type (
	// Resumed: somebody is signed in in the browser, and what they showed there counts. The caller has left out
	// what is too old for this sign-in, and says what they are not invited to again.
	Resumed struct {
		Login   string
		User    ident.UserID
		Proofs  []Proof
		Skipped []ident.Kind
	}
	// Named: a name was given, without a password. The user is known to the engine or not; the flow goes
	// on alike (S-24). Reset unless the name alone is asked for.
	Named struct {
		Login string
		User  ident.UserID // empty: nobody holds that name
	}
	// SignedIn: name and password were given and the password is right.
	SignedIn struct {
		Login string
		User  ident.UserID
	}
	// Refused: name and password were given and are not right. Who it was is not kept.
	Refused struct{ Login string }
	// ToVerify: an enrolled authenticator was chosen; without a method one is asked for.
	ToVerify struct {
		Kind       ident.Kind
		Enrollment ident.EnrollmentID
		Method     ident.Method
		Challenge  ChallengeID
	}
	// ToEnroll: an authenticator to set up was chosen; without its data that is asked for.
	ToEnroll struct {
		Kind      ident.Kind
		Method    ident.Method
		Challenge ChallengeID
		Number    secret.Text
		Hint      string
	}
	// Answered: a proof was given. Enrollment is what a right one to an enrolling step creates.
	Answered struct {
		OK     bool
		Answer secret.Digest
		New    ident.Enrollment
	}
	// Resent: the code was sent again, perhaps a new one.
	Resent struct{ Challenge ChallengeID }
	// Skipped: what is on offer was declined.
	Skipped struct{}
	// Cancel: the person gave up.
	Cancel struct{}
)

func (Resumed) event()  {}
func (Named) event()    {}
func (SignedIn) event() {}
func (Refused) event()  {}
func (ToVerify) event() {}
func (ToEnroll) event() {}
func (Answered) event() {}
func (Resent) event()   {}
func (Skipped) event()  {}
func (Cancel) event()   {}

// An Effect is what must join the same commit as the new state.
type Effect interface{ effect() }

// The effects.
type (
	// Record writes an audit event.
	Record struct {
		Type audit.Type
		OK   bool
		Kind ident.Kind
	}
	// Spend uses up the challenge: it opens nothing any more (S-13).
	Spend struct{ Challenge ChallengeID }
	// Save stores the enrollment that was just proved.
	Save struct{ Enrollment ident.Enrollment }
	// Issue makes the one interaction code of this flow (S-23).
	Issue struct{}
)

func (Record) effect() {}
func (Spend) effect()  {}
func (Save) effect()   {}
func (Issue) effect()  {}

// ErrNotOffered is returned for an event that the stage does not know; the state is unchanged (S-19).
type ErrNotOffered struct {
	Stage Stage
	Event Event
}

func (e ErrNotOffered) Error() string {
	return "flow: not offered at stage " + string(e.Stage)
}

type move func(State, Facts, Event) (State, []Effect, error)

// moves is the whole machine: stage by stage, what may happen there. Anything not listed is refused.
// Naming oneself and cancelling are possible at every live stage: a person may change their mind, and
// a second tab may still show the first page.
var moves = map[Stage]move{
	Identify:     anywhere(resuming),
	VerifySelect: anywhere(verifying),
	VerifyData:   anywhere(verifying),
	Verify:       anywhere(proving),
	EnrollSelect: anywhere(enrolling),
	EnrollData:   anywhere(enrolling),
	Enroll:       anywhere(provingNew),
}

// Next returns the state after the event and what must be committed with it. It changes nothing it was given.
func Next(s State, f Facts, ev Event) (State, []Effect, error) {
	m, ok := moves[s.Stage]
	if !ok {
		return s, nil, ErrNotOffered{s.Stage, ev}
	}
	next, effects, err := m(s, f, ev)
	if err != nil {
		return s, nil, err
	}
	next.Seen = f.Now
	return next, effects, nil
}

// anywhere handles what every live stage allows, and leaves the rest to the stage. A replacement is for the person
// whose session allowed it: whoever else it is has to cancel it first (S-38).
func anywhere(stage move) move {
	return func(s State, f Facts, ev Event) (State, []Effect, error) {
		if s.Request.Replace != "" && names(ev) {
			return s, nil, ErrNotOffered{s.Stage, ev}
		}
		switch e := ev.(type) {
		case Named:
			s = restart(s, e.Login, e.User)
			s.Stage, s.Current = Verify, Current{Kind: ident.Password, Method: ident.MethodPassword}
			return s, []Effect{Record{audit.IdentifyOK, true, ""}}, nil
		case SignedIn:
			s = restart(s, e.Login, e.User)
			return proved(s, f, ident.Password, ident.MethodPassword, Record{audit.PasswordOK, true, ident.Password})
		case Refused:
			s = restart(s, e.Login, "")
			s.Stage = Identify
			return s, []Effect{Record{audit.PasswordWrong, false, ident.Password}}, nil
		case Cancel:
			s.Stage, s.Current = Cancelled, Current{}
			return s, []Effect{Record{audit.FlowCancelled, true, ""}}, nil
		}
		return stage(s, f, ev)
	}
}

// names reports that an event says who it is.
func names(ev Event) bool {
	switch ev.(type) {
	case Named, SignedIn, Refused:
		return true
	}
	return false
}

// Afresh returns what a cancelled sign-in was begun for, for whoever comes next. What only the person before might do
// is not among it: a replacement becomes a plain sign-in for the page that it would have ended at (S-21, S-38).
func (r Request) Afresh() Request {
	if r.Replace != "" {
		r.Replace, r.Subject = "", ""
	}
	return r
}

// restart forgets everything that was shown: another name, another person (S-21).
func restart(s State, login string, u ident.UserID) State {
	s.Login, s.User = login, u
	s.Proofs, s.Skipped, s.Borrowed, s.Current = nil, nil, false, Current{}
	return s
}

// resuming takes what a session shows, before anything else has happened: afterwards somebody has said who they
// are. Without a password among it nothing counts, for everything begins with that (S-19).
func resuming(s State, f Facts, ev Event) (State, []Effect, error) {
	e, ok := ev.(Resumed)
	if !ok || s.Login != "" || e.User == "" || !slices.ContainsFunc(e.Proofs, func(p Proof) bool { return p.Kind == ident.Password }) {
		return s, nil, ErrNotOffered{s.Stage, ev}
	}
	s = restart(s, e.Login, e.User)
	s.Proofs, s.Skipped, s.Borrowed = slices.Clone(e.Proofs), slices.Clone(e.Skipped), true
	return advance(s, f, Record{audit.SessionResumed, true, ""})
}

// verifying chooses among what the person has.
func verifying(s State, f Facts, ev Event) (State, []Effect, error) {
	e, ok := ev.(ToVerify)
	if !ok || !slices.Contains(candidates(s, f), e.Kind) {
		return s, nil, ErrNotOffered{s.Stage, ev}
	}
	s.Current = Current{Kind: e.Kind, Method: e.Method, Enrollment: e.Enrollment, Challenge: e.Challenge}
	if s.Stage = Verify; e.Method == "" {
		s.Stage = VerifyData
	}
	return s, sent(e.Challenge, e.Kind), nil
}

// proving awaits a proof of something enrolled; choosing again is still possible.
func proving(s State, f Facts, ev Event) (State, []Effect, error) {
	switch e := ev.(type) {
	case ToVerify:
		return verifying(s, f, e)
	case Resent:
		return resent(s, e)
	case Answered:
		if !e.OK {
			// A wrong answer is not an error: it is a state we must save, or guessing is free.
			return s, []Effect{Record{wrong(s.Current.Kind), false, s.Current.Kind}}, nil
		}
		s.Outcome.Answer = e.Answer
		return proved(s, f, s.Current.Kind, s.Current.Method, spend(s, Record{right(s.Current.Kind), true, s.Current.Kind})...)
	}
	return s, nil, ErrNotOffered{s.Stage, ev}
}

// enrolling chooses what to set up, and skips what may be skipped.
func enrolling(s State, f Facts, ev Event) (State, []Effect, error) {
	need := f.need(s)
	switch e := ev.(type) {
	case ToEnroll:
		if !slices.Contains(slices.Concat(need.Enroll, need.Offer), e.Kind) {
			break
		}
		s.Current = Current{Kind: e.Kind, Method: e.Method, Challenge: e.Challenge, Number: e.Number, Hint: e.Hint}
		if s.Stage = Enroll; e.Number == "" {
			s.Stage = EnrollData
		}
		return s, sent(e.Challenge, e.Kind), nil
	case Skipped:
		if !need.Optional() {
			break
		}
		s.Skipped = append(slices.Clone(s.Skipped), need.Offer...)
		return advance(s, f, Record{audit.StepSkipped, true, ""})
	}
	return s, nil, ErrNotOffered{s.Stage, ev}
}

// provingNew awaits the proof of what is being set up; choosing again and skipping are still possible.
func provingNew(s State, f Facts, ev Event) (State, []Effect, error) {
	switch e := ev.(type) {
	case ToEnroll, Skipped:
		return enrolling(s, f, e)
	case Resent:
		return resent(s, e)
	case Answered:
		if !e.OK {
			return s, []Effect{Record{wrong(s.Current.Kind), false, s.Current.Kind}}, nil
		}
		s.Outcome.Answer = e.Answer
		f.Enrollments = append(slices.Clone(f.Enrollments), e.New)
		effects := spend(s, Record{right(s.Current.Kind), true, s.Current.Kind}, Record{audit.FactorEnrolled, true, s.Current.Kind}, Save{e.New})
		return proved(s, f, s.Current.Kind, s.Current.Method, effects...)
	}
	return s, nil, ErrNotOffered{s.Stage, ev}
}

func resent(s State, e Resent) (State, []Effect, error) {
	if s.Current.Challenge == "" {
		return s, nil, ErrNotOffered{s.Stage, e} // a password is not sent
	}
	s.Current.Challenge = e.Challenge
	return s, sent(e.Challenge, s.Current.Kind), nil
}

// Aligned returns the state under today's facts. What the person has, or what the policy asks for, may have
// changed since the last step: a phone enrolled in another tab is to be verified and not enrolled again (S-22),
// one that was removed no longer proves anything. Then the flow stands where its proofs put it. Before the
// password nothing is aligned, so that nothing can be seen; and what is done is done by a step alone.
func (s State) Aligned(f Facts) State {
	s = s.aged(f.Now)
	need := f.need(s)
	if len(s.Proofs) == 0 || need.Met() || s.fits(need, f) {
		return s
	}
	s, _, _ = advance(s, f) // with something missing it has no effects
	return s
}

// aged leaves out what the session lent and what has become too old meanwhile for what was asked (max_age). Without the
// password among what is left, the person begins again.
func (s State) aged(now time.Time) State {
	if !s.Borrowed || s.Stage == Done || s.Stage == Cancelled {
		return s
	}
	young := Fresh(s.Proofs, s.Request.MaxAge, now)
	left := slices.DeleteFunc(slices.Clone(s.Proofs), func(p Proof) bool { return p.At.Before(s.Created) && !slices.Contains(young, p) })
	switch {
	case len(left) == len(s.Proofs):
	case slices.ContainsFunc(left, func(p Proof) bool { return p.Kind == ident.Password }):
		s.Proofs = left
	default:
		s = restart(s, "", "")
		s.Stage = Identify
	}
	return s
}

// fits reports that the stage asks for something that is missing.
func (s State) fits(need policy.Need, f Facts) bool {
	asked := need.Verify
	switch s.Stage {
	case EnrollSelect, EnrollData, Enroll:
		asked = slices.Concat(need.Enroll, need.Offer)
	case VerifySelect, VerifyData, Verify:
	default:
		return true
	}
	if s.Current.Kind == "" {
		return len(asked) > 0
	}
	return slices.Contains(asked, s.Current.Kind) && (s.Current.Enrollment == "" ||
		slices.ContainsFunc(f.Enrollments, func(e ident.Enrollment) bool { return e.ID == s.Current.Enrollment }))
}

func proved(s State, f Facts, k ident.Kind, m ident.Method, effects ...Effect) (State, []Effect, error) {
	s.Proofs = append(slices.Clone(s.Proofs), Proof{k, m, f.Now})
	return advance(s, f, effects...)
}

// advance asks the policy what is missing and moves to the stage that asks for it; nothing missing is the end.
func advance(s State, f Facts, effects ...Effect) (State, []Effect, error) {
	s.Current = Current{}
	need := f.need(s)
	switch {
	case need.Met():
		s.Stage, s.Outcome.At = Done, f.Now
		return s, append(effects, Record{audit.SignedIn, true, ""}, Issue{}), nil
	case len(need.Verify) > 1:
		s.Stage = VerifySelect
	case len(need.Verify) == 1:
		e, _ := ident.Find(f.Enrollments, need.Verify[0])
		s.Stage, s.Current = VerifyData, Current{Kind: e.Kind, Enrollment: e.ID}
	default:
		s.Stage = EnrollSelect
	}
	return s, effects, nil
}

// candidates lists what may be verified now. Before anything is known of the person that is the
// password alone, for known and unknown names alike.
func candidates(s State, f Facts) []ident.Kind {
	if len(s.Proofs) == 0 {
		return []ident.Kind{ident.Password}
	}
	return f.need(s).Verify
}

func spend(s State, effects ...Effect) []Effect {
	if s.Current.Challenge != "" {
		effects = append(effects, Spend{s.Current.Challenge})
	}
	return effects
}

func sent(c ChallengeID, k ident.Kind) []Effect {
	if c == "" {
		return nil
	}
	return []Effect{Record{audit.CodeSent, true, k}}
}

func right(k ident.Kind) audit.Type {
	if k == ident.Password {
		return audit.PasswordOK
	}
	return audit.CodeOK
}

func wrong(k ident.Kind) audit.Type {
	if k == ident.Password {
		return audit.PasswordWrong
	}
	return audit.CodeWrong
}
