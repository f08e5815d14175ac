package flow_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
)

// The whole machine is walked: every policy, every set of enrollments, every event at every state that
// can be reached. What is proved of each path is that it ends in an interaction code only if the proofs
// on it are the person's, fresh, and as many as the policy asks for.

var policies = map[string]policy.Policy{
	"password":                  policy.PasswordOnly,
	"password and phone":        policy.PasswordAndPhone,
	"password, phone if wanted": policy.PasswordAndOptionalPhone,
	"name first":                {Require: []ident.Kind{ident.Password, ident.Phone}, IdentifierFirst: true},
	"name first, one factor":    {Require: []ident.Kind{ident.Password}, IdentifierFirst: true},
	"phone before password":     {Require: []ident.Kind{ident.Phone, ident.Password}},
}

// people hold different authenticators. An empty list is a name that nobody holds.
var people = map[ident.UserID][]ident.Enrollment{
	"":     nil,
	"mary": {{ID: "lae1", User: "mary", Kind: ident.Password}},
	"paul": {{ID: "lae2", User: "paul", Kind: ident.Password}, {ID: "sms2", User: "paul", Kind: ident.Phone, Secret: "+15550002222"}},
}

// world is what the walk remembers of a path besides the state: the phones that were enrolled on it, and
// what was truly shown since the person was last named.
type world struct {
	state    flow.State
	enrolled bool // the current person enrolled a phone on this path
	shown    []ident.Kind
	path     []string
}

// key identifies a world up to what its future depends on.
func (w world) key() string {
	s := w.state
	return fmt.Sprint(s.Stage, s.User, s.Proved(), s.Skipped, s.Current.Kind, s.Current.Enrollment, s.Current.Challenge != "", s.Current.Number != "", w.enrolled, w.shown)
}

func (w world) facts(p policy.Policy) flow.Facts {
	have := people[w.state.User]
	if w.enrolled {
		have = append(slices.Clone(have), ident.Enrollment{ID: "smsNew", User: w.state.User, Kind: ident.Phone})
	}
	return flow.Facts{Now: time.Unix(1795377328, 0), Policy: p, Enrollments: have}
}

// events is everything that can be tried anywhere, by name.
func events() map[string]flow.Event {
	all := map[string]flow.Event{
		"choose phone":             flow.ToVerify{Kind: ident.Phone, Enrollment: "sms2"},
		"choose phone by sms":      flow.ToVerify{Kind: ident.Phone, Enrollment: "sms2", Method: ident.MethodSMS, Challenge: "chl1"},
		"choose password":          flow.ToVerify{Kind: ident.Password, Enrollment: "lae1", Method: ident.MethodPassword},
		"enroll phone":             flow.ToEnroll{Kind: ident.Phone},
		"enroll phone with number": flow.ToEnroll{Kind: ident.Phone, Method: ident.MethodSMS, Challenge: "chl2", Number: "+15550001111"},
		"enroll password":          flow.ToEnroll{Kind: ident.Password, Number: "x"},
		"wrong answer":             flow.Answered{},
		"right answer":             flow.Answered{OK: true, New: ident.Enrollment{ID: "smsNew", Kind: ident.Phone}},
		"resend":                   flow.Resent{Challenge: "chl3"},
		"skip":                     flow.Skipped{},
		"cancel":                   flow.Cancel{},
		"wrong password":           flow.Refused{Login: "mary"},
	}
	for id := range people {
		all["name "+string(id)] = flow.Named{Login: "x", User: id}
		if id != "" {
			all["password of "+string(id)] = flow.SignedIn{Login: "x", User: id}
		}
	}
	return all
}

func TestNoPathReachesACodeBelowThePolicy(t *testing.T) {
	for name, p := range policies {
		t.Run(name, func(t *testing.T) {
			ends, states := walk(t, p)
			if ends == 0 {
				t.Fatal("no path reaches a code at all")
			}
			t.Logf("%d states, %d ways into a code", states, ends)
		})
	}
}

func walk(t *testing.T, p policy.Policy) (ends, states int) {
	begin := world{state: flow.Begin(secret.Digest{1}, secret.Digest{2}, flow.Request{Client: "0oa1"}, time.Unix(1795377328, 0))}
	queue, seen := []world{begin}, map[string]bool{begin.key(): true}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for name, ev := range events() {
			// A right answer is only right for who is known: nobody's password is never right.
			if a, ok := ev.(flow.Answered); ok && a.OK && at.state.User == "" {
				continue
			}
			next, issued, ok := try(t, p, at, name, ev)
			if !ok {
				continue
			}
			if issued {
				ends++
				judge(t, p, next)
			}
			if !seen[next.key()] {
				seen[next.key()] = true
				queue = append(queue, next)
			}
		}
	}
	return ends, len(seen)
}

// try applies one event, checks what must hold of any move, and keeps the walk's own books.
func try(t *testing.T, p policy.Policy, at world, name string, ev flow.Event) (next world, issued, ok bool) {
	facts := at.facts(p)
	switch e := ev.(type) {
	case flow.SignedIn: // the engine brings the facts of whom it judged
		facts = world{state: flow.State{User: e.User}}.facts(p)
	case flow.Named:
		facts = world{state: flow.State{User: e.User}}.facts(p)
	}
	before := fmt.Sprintf("%+v", at.state)
	s, effects, err := flow.Next(at.state, facts, ev)
	if after := fmt.Sprintf("%+v", at.state); after != before {
		t.Fatalf("%v + %s changed the state it was given", at.path, name)
	}
	if err != nil {
		if fmt.Sprintf("%+v", s) != before {
			t.Fatalf("%v + %s was refused and yet changed the state", at.path, name)
		}
		return world{}, false, false
	}
	next = world{state: s, enrolled: at.enrolled, shown: at.shown, path: append(slices.Clone(at.path), name)}
	switch e := ev.(type) {
	case flow.SignedIn:
		next.enrolled, next.shown = false, []ident.Kind{ident.Password}
	case flow.Named, flow.Refused:
		next.enrolled, next.shown = false, nil
	case flow.Answered:
		if e.OK {
			next.shown = append(slices.Clone(at.shown), at.state.Current.Kind)
			next.enrolled = at.enrolled || at.state.Stage == flow.Enroll
		}
	}
	if aligned := s.Aligned(next.facts(p)); fmt.Sprintf("%+v", aligned) != fmt.Sprintf("%+v", s) {
		t.Fatalf("%v leads to %s, which does not fit its own facts", next.path, s.Stage)
	}
	for _, effect := range effects {
		switch effect.(type) {
		case flow.Issue:
			issued = true
		case flow.Save:
			if !slices.Contains(at.shown, ident.Password) {
				t.Fatalf("%v enrolls before the password was shown", next.path)
			}
		}
	}
	if issued != (s.Stage == flow.Done) {
		t.Fatalf("%v: code issued %v at stage %s", next.path, issued, s.Stage)
	}
	if s.Current.Challenge != "" && len(next.shown) == 0 && p.Require[0] == ident.Password {
		t.Fatalf("%v: a code is out before the password is right (S-19)", next.path)
	}
	return next, issued, true
}

// judge is the test's own idea of assurance, written without policy.Need.
func judge(t *testing.T, p policy.Policy, w world) {
	t.Helper()
	if w.state.User == "" {
		t.Fatalf("%v: a code for nobody", w.path)
	}
	for _, k := range p.Require {
		if !slices.Contains(w.shown, k) {
			t.Fatalf("%v reaches a code without %s; shown %v", w.path, k, w.shown)
		}
	}
	for _, e := range people[w.state.User] {
		if slices.Contains(p.Offer, e.Kind) && !slices.Contains(w.shown, e.Kind) {
			t.Fatalf("%v reaches a code without the %s that the person has enrolled", w.path, e.Kind)
		}
	}
	if got := w.state.Proved(); !slices.Equal(got, w.shown) {
		t.Fatalf("%v: state says %v was proved, shown was %v", w.path, got, w.shown)
	}
}
