package flow_test

import (
	"reflect"
	"testing"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/policy"
)

// The world may change between two steps of a flow: a phone enrolled in another tab, or removed by an administrator.
func TestS22_AFlowStandsWhereTheFactsPutIt(t *testing.T) {
	password := []flow.Proof{{Kind: ident.Password, Method: ident.MethodPassword, At: time.Unix(1, 0)}}
	enroll := flow.Current{Kind: ident.Phone, Method: ident.MethodSMS, Challenge: "chl1", Number: "+15550001111"}
	verify := flow.Current{Kind: ident.Phone, Method: ident.MethodSMS, Challenge: "chl2", Enrollment: "sms2"}
	mary, paul := people["mary"], people["paul"]
	optional, required := policy.PasswordAndOptionalPhone, policy.PasswordAndPhone
	for name, c := range map[string]struct {
		stage   flow.Stage
		current flow.Current
		proofs  []flow.Proof
		have    []ident.Enrollment
		policy  policy.Policy
		want    flow.Stage
	}{
		"enrolling, still without":              {flow.Enroll, enroll, password, mary, required, flow.Enroll},
		"enrolling, enrolled meanwhile":         {flow.Enroll, enroll, password, paul, required, flow.VerifyData},
		"its data, enrolled meanwhile":          {flow.EnrollData, flow.Current{Kind: ident.Phone}, password, paul, required, flow.VerifyData},
		"choosing, enrolled meanwhile":          {flow.EnrollSelect, flow.Current{}, password, paul, required, flow.VerifyData},
		"may be skipped, enrolled meanwhile":    {flow.EnrollSelect, flow.Current{}, password, paul, optional, flow.VerifyData},
		"verifying, still there":                {flow.Verify, verify, password, paul, required, flow.Verify},
		"verifying, removed meanwhile":          {flow.Verify, verify, password, mary, required, flow.EnrollSelect},
		"verifying, replaced meanwhile":         {flow.Verify, flow.Current{Kind: ident.Phone, Enrollment: "smsOld"}, password, paul, required, flow.VerifyData},
		"by which method, removed meanwhile":    {flow.VerifyData, flow.Current{Kind: ident.Phone, Enrollment: "sms2"}, password, mary, optional, flow.EnrollSelect},
		"nothing is missing any more":           {flow.Enroll, enroll, password, mary, policy.PasswordOnly, flow.Enroll},
		"before the password nothing is shown":  {flow.Verify, flow.Current{Kind: ident.Password}, nil, nil, required, flow.Verify},
		"the first page, with whatever is left": {flow.Identify, flow.Current{}, nil, paul, required, flow.Identify},
		"what is done stays done":               {flow.Done, flow.Current{}, password, paul, required, flow.Done},
		"what is cancelled stays cancelled":     {flow.Cancelled, flow.Current{}, password, paul, required, flow.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			before := flow.State{Stage: c.stage, Current: c.current, Proofs: c.proofs, User: "mary"}
			got := before.Aligned(flow.Facts{Now: time.Unix(2, 0), Policy: c.policy, Enrollments: c.have})
			if got.Stage != c.want {
				t.Fatalf("got %s, want %s", got.Stage, c.want)
			}
			if c.want == c.stage && !reflect.DeepEqual(got, before) {
				t.Errorf("got %+v, want it unchanged", got)
			}
			if c.want != c.stage && (got.Current.Challenge != "" || got.Current.Number != "") {
				t.Errorf("a code for what is no longer asked for can still be answered: %+v", got.Current)
			}
		})
	}
}
