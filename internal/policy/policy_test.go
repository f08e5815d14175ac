package policy_test

import (
	"reflect"
	"slices"
	"testing"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/policy"
)

const pw, ph = ident.Password, ident.Phone

type kinds = []ident.Kind

func TestNeed(t *testing.T) {
	for name, c := range map[string]struct {
		policy policy.Policy
		have   policy.Have
		want   policy.Need
	}{
		"S-19 password first, whatever else": {policy.PasswordAndPhone, policy.Have{Enrolled: kinds{pw, ph}}, policy.Need{Verify: kinds{pw}}},
		"then the enrolled phone":            {policy.PasswordAndPhone, policy.Have{Enrolled: kinds{pw, ph}, Proved: kinds{pw}}, policy.Need{Verify: kinds{ph}}},
		"or a phone to enroll":               {policy.PasswordAndPhone, policy.Have{Enrolled: kinds{pw}, Proved: kinds{pw}}, policy.Need{Enroll: kinds{ph}}},
		"met":                                {policy.PasswordAndPhone, policy.Have{Enrolled: kinds{pw, ph}, Proved: kinds{pw, ph}}, policy.Need{}},
		"skipping a required one is no way":  {policy.PasswordAndPhone, policy.Have{Enrolled: kinds{pw}, Proved: kinds{pw}, Skipped: kinds{ph}}, policy.Need{Enroll: kinds{ph}}},
		"password alone":                     {policy.PasswordOnly, policy.Have{Enrolled: kinds{pw, ph}, Proved: kinds{pw}}, policy.Need{}},
		"optional is offered":                {policy.PasswordAndOptionalPhone, policy.Have{Enrolled: kinds{pw}, Proved: kinds{pw}}, policy.Need{Offer: kinds{ph}}},
		"optional and skipped":               {policy.PasswordAndOptionalPhone, policy.Have{Enrolled: kinds{pw}, Proved: kinds{pw}, Skipped: kinds{ph}}, policy.Need{}},
		"optional and enrolled is asked for": {policy.PasswordAndOptionalPhone, policy.Have{Enrolled: kinds{pw, ph}, Proved: kinds{pw}, Skipped: kinds{ph}}, policy.Need{Verify: kinds{ph}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.Need(c.have); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestRaiseNeverLowers(t *testing.T) {
	for _, acr := range append(policy.ACRValues(), "") {
		p, ok := policy.PasswordAndPhone.Raise(acr)
		if !ok || !slices.Equal(p.Require, policy.PasswordAndPhone.Require) {
			t.Errorf("%q makes of password and phone %+v, %v", acr, p, ok)
		}
	}
	if p, _ := policy.PasswordOnly.Raise(policy.ACRTwoFactors); !slices.Equal(p.Require, kinds{pw, ph}) {
		t.Errorf("two factors on top of a password require %v", p.Require)
	}
	if p, _ := policy.PasswordAndOptionalPhone.Raise(policy.ACRTwoFactors); !slices.Equal(p.Require, kinds{pw, ph}) || len(p.Offer) != 0 {
		t.Errorf("two factors on top of an optional phone: %+v", p)
	}
	if len(policy.PasswordOnly.Require) != 1 || len(policy.PasswordAndOptionalPhone.Offer) != 1 {
		t.Error("raising changed the policy it was asked of")
	}
	if _, ok := policy.PasswordOnly.Raise("phr"); ok {
		t.Error("phishing resistance is promised, and nothing here gives it")
	}
}

func TestAMR(t *testing.T) {
	for name, c := range map[string]struct {
		methods []ident.Method
		want    []string
	}{
		"password":         {[]ident.Method{ident.MethodPassword}, []string{"pwd"}},
		"password and sms": {[]ident.Method{ident.MethodPassword, ident.MethodSMS}, []string{"pwd", "sms", "mca", "mfa"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := policy.AMR(c.methods); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
