package flow_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
)

var start = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// at makes a state at a stage, with proofs, for paul (who has a phone) or mary (who has none).
func at(stage flow.Stage, who ident.UserID, current flow.Current, proofs ...ident.Kind) flow.State {
	s := flow.Begin(secret.Digest{1}, secret.Digest{2}, flow.Request{Client: "0oa1"}, start)
	s.Stage, s.User, s.Login, s.Current = stage, who, string(who), current
	for _, k := range proofs {
		s.Proofs = append(s.Proofs, flow.Proof{Kind: k, Method: ident.MethodPassword, At: start})
	}
	return s
}

func TestNext(t *testing.T) {
	var (
		both     = policy.PasswordAndPhone
		optional = policy.PasswordAndOptionalPhone
		smsOut   = flow.Current{Kind: ident.Phone, Method: ident.MethodSMS, Enrollment: "sms2", Challenge: "chl1"}
		newOut   = flow.Current{Kind: ident.Phone, Method: ident.MethodSMS, Challenge: "chl2", Number: "+15550001111", Hint: "+1 XXX-XXX-1111"}
	)
	for name, c := range map[string]struct {
		policy policy.Policy
		state  flow.State
		event  flow.Event
		stage  flow.Stage
		do     []flow.Effect
	}{
		"right password, no phone: set one up": {both, at(flow.Identify, "", flow.Current{}), flow.SignedIn{"mary", "mary"},
			flow.EnrollSelect, []flow.Effect{flow.Record{audit.PasswordOK, true, ident.Password}}},
		"right password, phone: by which method": {both, at(flow.Identify, "", flow.Current{}), flow.SignedIn{"paul", "paul"},
			flow.VerifyData, []flow.Effect{flow.Record{audit.PasswordOK, true, ident.Password}}},
		"right password is enough": {policy.PasswordOnly, at(flow.Identify, "", flow.Current{}), flow.SignedIn{"mary", "mary"},
			flow.Done, []flow.Effect{flow.Record{audit.PasswordOK, true, ident.Password}, flow.Record{audit.SignedIn, true, ""}, flow.Issue{}}},
		"wrong password stays at the beginning": {both, at(flow.Identify, "", flow.Current{}), flow.Refused{"mary"},
			flow.Identify, []flow.Effect{flow.Record{audit.PasswordWrong, false, ident.Password}}},
		"name first asks for the password": {both, at(flow.Identify, "", flow.Current{}), flow.Named{"mary", "mary"},
			flow.Verify, []flow.Effect{flow.Record{audit.IdentifyOK, true, ""}}},
		"number chosen: code is out": {both, at(flow.EnrollData, "mary", flow.Current{Kind: ident.Phone}, ident.Password),
			flow.ToEnroll{ident.Phone, ident.MethodSMS, "chl2", "+15550001111", "+1 XXX-XXX-1111"},
			flow.Enroll, []flow.Effect{flow.Record{audit.CodeSent, true, ident.Phone}}},
		"wrong code stays, and is written down": {both, at(flow.Verify, "paul", smsOut, ident.Password), flow.Answered{},
			flow.Verify, []flow.Effect{flow.Record{audit.CodeWrong, false, ident.Phone}}},
		"right code ends": {both, at(flow.Verify, "paul", smsOut, ident.Password), flow.Answered{OK: true},
			flow.Done, []flow.Effect{flow.Record{audit.CodeOK, true, ident.Phone}, flow.Spend{"chl1"}, flow.Record{audit.SignedIn, true, ""}, flow.Issue{}}},
		"right code to a new number ends and enrolls": {both, at(flow.Enroll, "mary", newOut, ident.Password),
			flow.Answered{OK: true, New: ident.Enrollment{ID: "sms9", Kind: ident.Phone}},
			flow.Done, []flow.Effect{flow.Record{audit.CodeOK, true, ident.Phone}, flow.Record{audit.FactorEnrolled, true, ident.Phone},
				flow.Save{ident.Enrollment{ID: "sms9", Kind: ident.Phone}}, flow.Spend{"chl2"}, flow.Record{audit.SignedIn, true, ""}, flow.Issue{}}},
		"optional phone may be skipped": {optional, at(flow.EnrollSelect, "mary", flow.Current{}, ident.Password), flow.Skipped{},
			flow.Done, []flow.Effect{flow.Record{audit.StepSkipped, true, ""}, flow.Record{audit.SignedIn, true, ""}, flow.Issue{}}},
		"S-21 another name forgets the proofs": {both, at(flow.Verify, "paul", smsOut, ident.Password), flow.Named{"mary", "mary"},
			flow.Verify, []flow.Effect{flow.Record{audit.IdentifyOK, true, ""}}},
		"cancel ends": {both, at(flow.Verify, "paul", smsOut, ident.Password), flow.Cancel{},
			flow.Cancelled, []flow.Effect{flow.Record{audit.FlowCancelled, true, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			user := c.state.User
			switch e := c.event.(type) {
			case flow.SignedIn:
				user = e.User
			case flow.Named:
				user = e.User
			}
			next, effects, err := flow.Next(c.state, flow.Facts{Now: start.Add(time.Minute), Policy: c.policy, Enrollments: people[user]}, c.event)
			if err != nil {
				t.Fatal(err)
			}
			if next.Stage != c.stage {
				t.Errorf("stage is %s, want %s", next.Stage, c.stage)
			}
			if !slices.Equal(effects, c.do) {
				t.Errorf("effects are\n %+v, want\n %+v", effects, c.do)
			}
			if _, named := c.event.(flow.Named); named && (len(next.Proofs) != 0 || next.Current.Challenge != "") {
				t.Errorf("still proved %v, challenge %q", next.Proved(), next.Current.Challenge)
			}
		})
	}
}

func TestS19_WhatIsNotOfferedIsRefusedAndChangesNothing(t *testing.T) {
	smsOut := flow.Current{Kind: ident.Phone, Method: ident.MethodSMS, Enrollment: "sms2", Challenge: "chl1"}
	for name, c := range map[string]struct {
		state flow.State
		event flow.Event
	}{
		"answer before a code was sent":            {at(flow.Identify, "", flow.Current{}), flow.Answered{OK: true}},
		"answer while a method is asked for":       {at(flow.VerifyData, "paul", flow.Current{Kind: ident.Phone}, ident.Password), flow.Answered{OK: true}},
		"S-22 enroll with a phone enrolled":        {at(flow.VerifyData, "paul", flow.Current{Kind: ident.Phone}, ident.Password), flow.ToEnroll{Kind: ident.Phone}},
		"S-22 enroll from the code page":           {at(flow.Verify, "paul", smsOut, ident.Password), flow.ToEnroll{Kind: ident.Phone, Number: "+15550001111"}},
		"phone before the password":                {at(flow.Verify, "paul", flow.Current{Kind: ident.Password}), flow.ToVerify{Kind: ident.Phone, Method: ident.MethodSMS}},
		"verify what is not enrolled":              {at(flow.EnrollSelect, "mary", flow.Current{}, ident.Password), flow.ToVerify{Kind: ident.Phone}},
		"skip what is required":                    {at(flow.EnrollSelect, "mary", flow.Current{}, ident.Password), flow.Skipped{}},
		"resend a password":                        {at(flow.Verify, "paul", flow.Current{Kind: ident.Password}), flow.Resent{"chl9"}},
		"anything after the end":                   {at(flow.Done, "paul", flow.Current{}, ident.Password, ident.Phone), flow.SignedIn{"paul", "paul"}},
		"anything after cancelling, cancel itself": {at(flow.Cancelled, "paul", flow.Current{}), flow.Cancel{}},
	} {
		t.Run(name, func(t *testing.T) {
			next, effects, err := flow.Next(c.state, flow.Facts{Now: start, Policy: policy.PasswordAndPhone, Enrollments: people[c.state.User]}, c.event)
			if no := (flow.ErrNotOffered{}); !errors.As(err, &no) || effects != nil {
				t.Fatalf("got %v and %v, want ErrNotOffered", effects, err)
			}
			if next.Stage != c.state.Stage || next.Seen != c.state.Seen {
				t.Errorf("state changed: %+v", next)
			}
		})
	}
}

func TestS18_AFlowEndsWhenIdleAndInAnyCase(t *testing.T) {
	l := limit.DefaultFlow()
	s := at(flow.Identify, "", flow.Current{})
	if !s.Live(l, start.Add(time.Hour-time.Second)) || s.Live(l, start.Add(time.Hour)) {
		t.Error("an idle flow lives for one hour")
	}
	s.Seen = start.Add(90 * time.Minute)
	if got := s.Expires(l); got != start.Add(2*time.Hour) {
		t.Errorf("an active flow expires %s after its beginning, want 2h", got.Sub(start))
	}
}

func TestS38_NobodyElseIsNamedWhileAPhoneIsReplaced(t *testing.T) {
	r := flow.Request{Ending: flow.Redirect, Mode: flow.Here, Subject: "mary", Session: "ses1", Replace: ident.Phone}
	f := flow.Facts{Now: start, Policy: policy.PasswordAndPhone, Enrollments: people["mary"]}
	proofs := []flow.Proof{{Kind: ident.Password, Method: ident.MethodPassword, At: start}}
	s, _, err := flow.Next(flow.Begin(secret.Digest{1}, secret.Digest{2}, r, start), f, flow.Resumed{Login: "mary", User: "mary", Proofs: proofs})
	if err != nil || s.Stage != flow.EnrollSelect {
		t.Fatalf("at %s, %v", s.Stage, err)
	}
	for _, at := range []flow.State{s, flow.Begin(secret.Digest{1}, secret.Digest{2}, r, start)} {
		for _, ev := range []flow.Event{flow.Named{Login: "paul", User: "paul"}, flow.SignedIn{Login: "paul", User: "paul"}, flow.SignedIn{Login: "mary", User: "mary"}, flow.Refused{Login: "paul"}} {
			if _, _, err := flow.Next(at, f, ev); err == nil {
				t.Errorf("%T at %s", ev, at.Stage)
			}
		}
	}
	want := r
	want.Replace, want.Subject = "", ""
	if got := r.Afresh(); !reflect.DeepEqual(got, want) {
		t.Errorf("begun afresh: %+v", got)
	}
	hinted := flow.Request{Client: "0oa1", Subject: "mary"}
	if got := hinted.Afresh(); !reflect.DeepEqual(got, hinted) {
		t.Errorf("an application's request became %+v", got)
	}
}
