package idxapi_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// What clients need of the IDX documents, each held by name, so that clients that are not run here keep
// working too. What the OAuth endpoints owe them is held in op, CORS in server. That every answer has the
// members, flags, types and paths which all clients need is in wellFormed, which sees each answer of
// every test in this room.

// pages are the answers of two sign-ins, by name.
func pages(t *testing.T) map[string]answer {
	h := build(t)
	all := map[string]answer{}
	v, a := h.begin("0oa1seed")
	all["introspect"] = a
	all["wrong password"] = v.identify(mary, "nope")
	all["identify, none enrolled"] = v.identify(mary, password1)
	all["choose"] = v.post("credential/enroll", map[string]any{"authenticator": map[string]any{"id": "aut1phone"}})
	all["bad number"] = v.enroll("555-CALL")
	all["number"] = v.enroll(number)
	all["wrong code, enrolling"] = v.code(other(h.pocket.code()))
	all["success"] = v.code(h.pocket.code())
	v, _ = h.begin("0oa1seed")
	all["identify, enrolled"] = v.identify("paul@example.com", password1)
	all["challenge"] = v.challenge()
	all["wrong code, verifying"] = v.code(other(h.pocket.code()))
	all["cancel"] = v.post("cancel", nil)
	v, _ = h.begin("0oa1name")
	all["name first"] = v.post("identify", map[string]any{"identifier": "paul@example.com"})
	return all
}

func TestClientNeeds(t *testing.T) {
	all := pages(t)
	steps := func(names ...string) map[string]answer {
		some := map[string]answer{}
		for _, n := range names {
			if _, ok := all[n]; !ok {
				t.Fatalf("no page %q", n)
			}
			some[n] = all[n]
		}
		return some
	}
	t.Run("the form of the current step comes first", func(t *testing.T) {
		for page, form := range map[string]string{
			"introspect": "identify", "identify, none enrolled": "select-authenticator-enroll", "choose": "authenticator-enrollment-data",
			"number": "enroll-authenticator", "identify, enrolled": "authenticator-verification-data", "challenge": "challenge-authenticator",
			"name first": "challenge-authenticator", "cancel": "identify", "wrong password": "identify", "bad number": "authenticator-enrollment-data",
			"wrong code, enrolling": "enroll-authenticator", "wrong code, verifying": "challenge-authenticator",
		} {
			if got := all[page].forms(); len(got) == 0 || got[0] != form {
				t.Errorf("%s begins with %v, want %s", page, got, form)
			}
		}
	})
	t.Run("the choosing form stands beside every step of an authenticator", func(t *testing.T) {
		for page, a := range steps("choose", "bad number", "number", "wrong code, enrolling") {
			if !slices.Contains(a.forms(), "select-authenticator-enroll") {
				t.Errorf("%s lists %v", page, a.forms())
			}
		}
		for page, a := range steps("identify, enrolled", "challenge", "wrong code, verifying", "name first") {
			if !slices.Contains(a.forms(), "select-authenticator-authenticate") {
				t.Errorf("%s lists %v", page, a.forms())
			}
		}
	})
	t.Run("labels that clients look for are the English ones", func(t *testing.T) {
		for page, label := range map[string]string{"identify, none enrolled": "Phone", "identify, enrolled": "Phone", "name first": "Password"} {
			a := all[page]
			last := len(a.forms()) - 1
			if got := a.at("remediation", "value", last, "value", 0, "options", 0, "label"); got != label {
				t.Errorf("%s calls it %v, want %s", page, got, label)
			}
		}
		if got := all["introspect"].at("remediation", "value", 0, "value", 0, "label"); got != "Username" {
			t.Errorf("the name is called %v", got)
		}
	})
	t.Run("the phone's option holds id, method and number to enroll; id, method and enrollment to verify", func(t *testing.T) {
		names := func(page string) (got []string) {
			a := all[page]
			l, _ := a.at("remediation", "value", len(a.forms())-1, "value", 0, "options", 0, "value", "form", "value").([]any)
			for _, f := range l {
				got = append(got, fmt.Sprint(walk(f, "name"), " ", walk(f, "required")))
			}
			return got
		}
		if got, want := names("identify, none enrolled"), []string{"id true", "methodType false", "phoneNumber false"}; !slices.Equal(got, want) {
			t.Errorf("to enroll %v, want %v", got, want)
		}
		if got, want := names("identify, enrolled"), []string{"id true", "methodType false", "enrollmentId true"}; !slices.Equal(got, want) {
			t.Errorf("to verify %v, want %v", got, want)
		}
	})
	t.Run("methodType is a string with options, even a single one", func(t *testing.T) {
		for page, a := range steps("choose", "identify, enrolled") {
			f := a.at("remediation", "value", 0, "value", 0, "form", "value", 1)
			if walk(f, "name") != "methodType" || walk(f, "type") != "string" || walk(f, "required") != true || walk(f, "options", 0, "value") != "sms" || walk(f, "options", 0, "label") != "SMS" {
				t.Errorf("%s: %v", page, f)
			}
		}
	})
	t.Run("required on credentials, identifier and phone number, as the widget draws by it", func(t *testing.T) {
		for _, c := range []struct {
			page string
			path []any
		}{
			{"introspect", []any{"remediation", "value", 0, "value", 0}},
			{"introspect", []any{"remediation", "value", 0, "value", 1}},
			{"choose", []any{"remediation", "value", 0, "value", 0, "form", "value", 2}},
			{"number", []any{"remediation", "value", 0, "value", 0}},
			{"challenge", []any{"remediation", "value", 0, "value", 0}},
		} {
			if f := all[c.page].at(c.path...); walk(f, "required") != true {
				t.Errorf("%s: %v", c.page, f)
			}
		}
	})
	t.Run("type object on credentials and on the choice", func(t *testing.T) {
		for page, a := range steps("number", "challenge", "name first") {
			if f := a.at("remediation", "value", 0, "value", 0); walk(f, "type") != "object" {
				t.Errorf("%s: %v", page, f)
			}
			if f := a.at("remediation", "value", 1, "value", 0); walk(f, "type") != "object" {
				t.Errorf("%s: %v", page, f)
			}
		}
	})
	t.Run("relatesTo is a list on forms and leads to the authenticator in work", func(t *testing.T) {
		for page, path := range map[string]string{"choose": "$.currentAuthenticator", "number": "$.currentAuthenticator",
			"identify, enrolled": "$.currentAuthenticatorEnrollment", "challenge": "$.currentAuthenticatorEnrollment", "name first": "$.currentAuthenticatorEnrollment"} {
			a := all[page]
			if got := a.at("remediation", "value", 0, "relatesTo", 0); got != path {
				t.Errorf("%s relates to %v, want %s", page, got, path)
			}
			if got := resolve(a.doc, path); walk(got, "value", "key") == nil || walk(got, "value", "type") == nil {
				t.Errorf("%s leads to %v", page, got)
			}
		}
	})
	t.Run("methods on the authenticator in work, or the widget draws an empty page", func(t *testing.T) {
		for page, member := range map[string]string{"number": "currentAuthenticator", "challenge": "currentAuthenticatorEnrollment"} {
			if got := all[page].at(member, "value", "methods", 0, "type"); got != "sms" {
				t.Errorf("%s: %v", page, got)
			}
		}
	})
	t.Run("resend is below the authenticator in work, on code pages only", func(t *testing.T) {
		for page, a := range all {
			var got bool
			for _, member := range []string{"currentAuthenticator", "currentAuthenticatorEnrollment"} {
				got = got || a.at(member, "value", "resend", "href") == origin+"/idp/idx/challenge/resend"
			}
			want := slices.Contains([]string{"number", "challenge", "wrong code, enrolling", "wrong code, verifying"}, page)
			if got != want {
				t.Errorf("%s offers resend: %v, want %v", page, got, want)
			}
		}
	})
	t.Run("no messages in a 200 that is a step forward", func(t *testing.T) {
		for page, a := range all {
			if a.status == 200 && strings.Contains(a.raw, `"messages"`) {
				t.Errorf("%s has messages", page)
			}
		}
	})
	t.Run("refusals are 4xx with the form again, version and JSON type", func(t *testing.T) {
		for page, status := range map[string]int{"wrong password": 401, "bad number": 400, "wrong code, enrolling": 401, "wrong code, verifying": 401} {
			if a := all[page]; a.status != status || len(a.forms()) == 0 || a.doc["version"] != "1.0.0" {
				t.Errorf("%s: %d %v", page, a.status, a.forms())
			}
		}
	})
	t.Run("a wrong code's message is at the field, where clients dig for it", func(t *testing.T) {
		for page, a := range steps("wrong code, enrolling", "wrong code, verifying") {
			m := a.at("remediation", "value", 0, "value", 0, "form", "value", 0, "messages", "value", 0)
			if walk(m, "message") != "Invalid code. Try again." || walk(m, "class") != "ERROR" {
				t.Errorf("%s: %v", page, m)
			}
		}
	})
	t.Run("authenticators list what the choosing form offers, and nothing else", func(t *testing.T) {
		for page, a := range steps("identify, none enrolled", "number", "identify, enrolled", "challenge") {
			l, _ := a.at("authenticators", "value").([]any)
			if len(l) != 1 || walk(l[0], "key") != "phone_number" || walk(l[0], "id") != "aut1phone" {
				t.Errorf("%s lists %v", page, l)
			}
		}
		for page, a := range steps("identify, enrolled", "challenge") { // .NET offers each entry as a choice: the proved password is left out
			l, _ := a.at("authenticatorEnrollments", "value").([]any)
			if len(l) != 1 || walk(l[0], "id") != "sms1paul" || walk(l[0], "profile", "phoneNumber") != mask {
				t.Errorf("%s lists %v", page, l)
			}
		}
	})
	t.Run("enrollment ids are not authenticator ids", func(t *testing.T) {
		a := all["challenge"]
		if a.at("currentAuthenticatorEnrollment", "value", "id") == a.at("authenticators", "value", 0, "id") {
			t.Error("okta-auth-js would refuse to choose it")
		}
	})
	t.Run("cancel answers with the first form under a new handle", func(t *testing.T) {
		if a := all["cancel"]; a.status != 200 || a.forms()[0] != "identify" || a.text("stateHandle") == all["challenge"].text("stateHandle") {
			t.Errorf("%d %v", a.status, a.forms())
		}
	})
	t.Run("success is a form that can be posted as it stands", func(t *testing.T) {
		f := all["success"].at("successWithInteractionCode")
		if walk(f, "rel", 0) != "create-form" || walk(f, "name") != "issue" || walk(f, "href") != origin+"/oauth2/default/v1/token" ||
			walk(f, "method") != "POST" || walk(f, "accepts") != "application/x-www-form-urlencoded" || walk(f, "produces") != nil {
			t.Errorf("form is %v", f)
		}
		want := []string{"grant_type interaction_code", "interaction_code", "client_id 0oa1seed", "code_verifier"}
		for i, w := range want {
			in := walk(f, "value", i)
			got := fmt.Sprint(walk(in, "name"))
			if v := walk(in, "value"); v != nil && got != "interaction_code" {
				got += fmt.Sprint(" ", v)
			}
			if got != w || walk(in, "required") != true {
				t.Errorf("field %d is %v, want %s", i, in, w)
			}
		}
		if all["success"].doc["remediation"] != nil {
			t.Error("there is a remediation beside it")
		}
	})
	t.Run("a final refusal has no way on that a client would keep", func(t *testing.T) {
		h := build(t)
		v := h.atCode()
		for range 5 {
			v.code(other(h.pocket.code()))
		}
		a := v.code(h.pocket.code()).want(t, 429)
		if a.doc["remediation"] != nil || a.doc["cancel"] != nil || a.doc["currentAuthenticatorEnrollment"] != nil {
			t.Errorf("it has: %s", a.raw)
		}
	})
	t.Run("everything is 200, 400, 401, 404, 405, 413, 415, 429, 500 or 503, never 201, 204 or a redirect", func(t *testing.T) {
		for page, a := range all {
			if !slices.Contains([]int{200, 400, 401}, a.status) {
				t.Errorf("%s is %d", page, a.status)
			}
		}
	})
	t.Run("Origin without a port, or from a page nobody listed, is not refused", func(t *testing.T) {
		h := build(t)
		v, _ := h.begin("0oa1seed")
		for _, o := range []string{"https://id.example", "https://elsewhere.example", "null"} {
			h.send("introspect", `{"interactionHandle":"`+v.interaction+`"}`, http.Header{"Origin": {o}}).want(t, 200, "identify")
		}
	})
	t.Run("Accepts instead of Accept, Accept of anything, no Accept", func(t *testing.T) {
		h := build(t)
		v, _ := h.begin("0oa1seed")
		for _, accept := range []http.Header{{"Accept": nil, "Accepts": {"application/ion+json"}}, {"Accept": {"text/html"}}, {"Accept": {"application/ion+json; okta-version=1.0.0"}}} {
			h.send("introspect", `{"interactionHandle":"`+v.interaction+`"}`, accept).want(t, 200, "identify")
		}
	})
	t.Run("a client that introspects before every step gets there", func(t *testing.T) {
		h := build(t)
		v, _ := h.begin("0oa1seed")
		v.introspect()
		v.identify(mary, password1)
		v.introspect()
		v.enroll(number)
		v.introspect()
		v.code(h.pocket.code()).want(t, 200)
	})
}

func TestFixturesHaveNoMemberWeNameOtherwise(t *testing.T) {
	const dir = "../../../shared/fixtures/idx"
	files, err := os.ReadDir(dir)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no recorded responses beside the project")
	}
	var recorded strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(dir + "/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		recorded.Write(b)
	}
	text := recorded.String()
	var members func(v any)
	members = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				members(e)
			}
		case map[string]any:
			for k, e := range v {
				// The recordings are of hosted sign-ins, which end elsewhere.
				if k != "successWithInteractionCode" && !strings.Contains(text, `"`+k+`"`) {
					t.Errorf("no recorded response has a member %q", k)
				}
				members(e)
			}
		}
	}
	for _, a := range pages(t) {
		members(a.doc)
	}
}
