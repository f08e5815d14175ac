package idxapi_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/testkit"
)

// golden compares a whole document with the file of that name; handles, codes and random ids are replaced.
func golden(t testing.TB, name string, a answer) {
	t.Helper()
	raw := regexp.MustCompile(`02[A-Za-z0-9_-]{43}`).ReplaceAllString(a.raw, "02STATEHANDLE")
	raw = regexp.MustCompile(`("name":"interaction_code","required":true,"value":)"[A-Za-z0-9_-]{43}"`).ReplaceAllString(raw, `$1"CODE"`)
	raw = regexp.MustCompile(`"lae[A-Za-z0-9]{17}"`).ReplaceAllString(raw, `"laeRANDOM"`)
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(raw), "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	testkit.Golden(t, "testdata/"+name+".json", indented.Bytes())
}

func TestFirstSignIn(t *testing.T) {
	h := build(t)
	v, a := h.begin("0oa1seed")
	golden(t, "2.3-introspect", a.want(t, 200, "identify"))
	golden(t, "2.4-identify", v.identify(mary, password1).want(t, 200, "select-authenticator-enroll"))
	a = v.post("credential/enroll", map[string]any{"authenticator": map[string]any{"id": "aut1phone"}})
	golden(t, "2.5-choose", a.want(t, 200, "authenticator-enrollment-data", "select-authenticator-enroll"))
	if h.pocket.count() != 0 {
		t.Fatal("a text left before there was a number")
	}
	golden(t, "2.6-number", v.enroll(number).want(t, 200, "enroll-authenticator", "select-authenticator-enroll"))
	if h.pocket.count() != 1 || h.pocket.texts[0].To != number {
		t.Fatalf("%d texts", h.pocket.count())
	}
	code := h.pocket.code()
	if strings.Contains(a.raw, code) {
		t.Fatal("the code is in an answer")
	}
	golden(t, "2.7-success", v.code(code).want(t, 200))

	v.introspect().expired(t)
	v.post("cancel", nil).expired(t)
	var enrolled []ident.Enrollment
	err := h.db.View(t.Context(), func(tx store.Tx) (err error) {
		enrolled, err = tx.Enrollments(t.Context(), "00u1mary")
		return err
	})
	if err != nil || len(enrolled) != 2 || enrolled[1].Secret != number || enrolled[1].Hint != mask || enrolled[1].Authenticator != "aut1phone" {
		t.Fatalf("enrollments %+v, %v", enrolled, err)
	}
}

func TestSecondSignIn(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1seed")
	golden(t, "3.1-identify", v.identify("paul@example.com", password1).want(t, 200, "authenticator-verification-data", "select-authenticator-authenticate"))
	without := v.post("challenge", map[string]any{"authenticator": map[string]any{"id": "aut1phone"}})
	without.want(t, 200, "authenticator-verification-data", "select-authenticator-authenticate")
	if h.pocket.count() != 0 {
		t.Fatal("a text left before the method was chosen")
	}
	golden(t, "3.2-challenge", v.challenge().want(t, 200, "challenge-authenticator", "select-authenticator-authenticate"))
	v.code(h.pocket.code()).want(t, 200)
}

func TestSuccessNamesTheSecretOfAConfidentialClient(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1web")
	a := v.identify(mary, password1).want(t, 200)
	var names []string
	for i := range 5 {
		if n, ok := a.at("successWithInteractionCode", "value", i, "name").(string); ok {
			names = append(names, n)
		}
	}
	if want := []string{"grant_type", "interaction_code", "client_id", "client_secret", "code_verifier"}; !slices.Equal(names, want) {
		t.Errorf("fields %v, want %v", names, want)
	}
	if a.at("successWithInteractionCode", "value", 3, "value") != nil {
		t.Error("client_secret has a value")
	}
}

func TestPasswordOnlyEndsAtOnce(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1one")
	golden(t, "one-factor-success", v.identify("paul@example.com", password1).want(t, 200))
}

func TestOptionalPhoneMayBeSkipped(t *testing.T) {
	h := build(t)
	for name, way := range map[string]func(v *visit){
		"from the list": func(*visit) {},
		"from the number": func(v *visit) {
			v.post("credential/enroll", map[string]any{"authenticator": map[string]any{"id": "aut1phone"}})
		},
		"from the code": func(v *visit) { v.enroll(number) },
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := h.begin("0oa1optional")
			a := v.identify(mary, password1).want(t, 200, "select-authenticator-enroll", "skip")
			if name == "from the list" {
				golden(t, "optional-identify", a)
			}
			way(v)
			if a := v.introspect(); a.forms()[len(a.forms())-1] != "skip" {
				t.Fatalf("skip is not offered: %v", a.forms())
			}
			v.post("skip", nil).want(t, 200)
		})
	}
	v, _ := h.begin("0oa1optional")
	v.identify("paul@example.com", password1).want(t, 200, "authenticator-verification-data", "select-authenticator-authenticate")
	v.post("skip", nil).want(t, 400, "authenticator-verification-data", "select-authenticator-authenticate").message(t, "errors.E0000020", "")
}

func TestIdentifierFirst(t *testing.T) {
	h := build(t)
	v, a := h.begin("0oa1name")
	golden(t, "4.2-introspect", a.want(t, 200, "identify"))
	a = v.post("identify", map[string]any{"identifier": mary})
	golden(t, "4.2-identify", a.want(t, 200, "challenge-authenticator", "select-authenticator-authenticate"))
	golden(t, "4.2-wrong", v.code("nope").want(t, 401, "challenge-authenticator", "select-authenticator-authenticate").message(t, "errors.E0000004", "Authentication failed"))
	chosen := v.post("challenge", map[string]any{"authenticator": map[string]any{"id": "aut1password", "methodType": "password"}})
	chosen.want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
	v.code(password1).want(t, 200, "select-authenticator-enroll")
	v.enroll(number)
	v.code(h.pocket.code()).want(t, 200)
}

// GO sends the choice with all its data in one post; JAVA sends a label for a method; both must work.
func TestOnePostOrTwo(t *testing.T) {
	h := build(t)
	for name, auth := range map[string]map[string]any{
		"all at once":      {"id": "aut1phone", "methodType": "sms", "phoneNumber": "+1 (555) 123-4567"},
		"no method":        {"id": "aut1phone", "phoneNumber": number},
		"a label":          {"id": "aut1phone", "methodType": "phone", "phoneNumber": number},
		"with a nickname":  {"id": "aut1phone", "methodType": "sms", "phoneNumber": number, "nickname": "mine"},
		"number in spaces": {"id": "aut1phone", "methodType": "sms", "phoneNumber": " +15551234567 "},
	} {
		t.Run("enroll "+name, func(t *testing.T) {
			v, _ := h.begin("0oa1seed")
			v.identify(mary, password1)
			v.post("credential/enroll", map[string]any{"authenticator": auth}).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
		})
	}
	for name, c := range map[string]struct {
		auth map[string]any
		form string
	}{
		"all at once": {map[string]any{"id": "aut1phone", "methodType": "sms"}, "challenge-authenticator"},
		"no method":   {map[string]any{"id": "aut1phone"}, "authenticator-verification-data"},
		"a label":     {map[string]any{"id": "aut1phone", "methodType": "phone"}, "authenticator-verification-data"},
		"a number":    {map[string]any{"id": "aut1phone", "methodType": "sms", "phoneNumber": "+15559999999"}, "challenge-authenticator"},
	} {
		t.Run("verify "+name, func(t *testing.T) {
			v, _ := h.begin("0oa1seed")
			v.identify("paul@example.com", password1)
			v.post("challenge", map[string]any{"authenticator": c.auth}).want(t, 200, c.form, "select-authenticator-authenticate")
			if n := h.pocket.count(); c.form == "challenge-authenticator" && h.pocket.texts[n-1].To != number {
				t.Error("the text went to a number from the request (S-22)")
			}
		})
	}
}

// TestIntrospectRepeatsTheStep: between any two steps it gives the last good document, and changes nothing.
func TestIntrospectRepeatsTheStep(t *testing.T) {
	h := build(t)
	v, first := h.begin("0oa1seed")
	same := func(last answer) {
		t.Helper()
		sent := h.pocket.count()
		for range 2 {
			if got := v.introspect(); got.raw != last.raw {
				t.Fatalf("introspect says\n%s\nafter\n%s", got.raw, last.raw)
			}
		}
		if got := v.send("introspect", `{"stateToken":"`+v.state+`"}`, nil); got.raw != last.raw {
			t.Fatalf("by state token it says\n%s", got.raw)
		}
		if h.pocket.count() != sent {
			t.Fatal("introspecting sent a text")
		}
	}
	same(first)
	v.identify(mary, "wrong")
	same(first)
	same(v.identify(mary, password1))
	same(v.post("credential/enroll", map[string]any{"authenticator": map[string]any{"id": "aut1phone"}}))
	v.enroll("555-CALL")
	code := v.enroll(number)
	same(code)
	v.code(other(h.pocket.code()))
	same(code)
	for range 6 {
		v.code(other(h.pocket.code()))
	}
	same(code)
}

func TestStateIsBoundToTheInteraction(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1seed")
	again := v.introspect()
	if again.text("stateHandle") != v.state {
		t.Error("the state handle is not stable")
	}
	w, _ := h.begin("0oa1seed")
	if w.state == v.state {
		t.Error("two flows share a state handle")
	}
	// S-16: one kind of value is never taken for another.
	h.send("introspect", `{"interactionHandle":"`+v.state+`"}`, nil).expired(t)
	h.send("introspect", `{"stateToken":"`+v.interaction+`"}`, nil).expired(t)
}

func TestLanguageOfTexts(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1seed")
	body := `{"identifier":"mary@example.com","credentials":{"passcode":"no"},"stateHandle":"` + v.state + `"}`
	a := h.send("identify", body, map[string][]string{"Accept-Language": {"de-DE,de;q=0.9"}})
	a.want(t, 401, "identify").message(t, "errors.E0000004", "Anmeldung fehlgeschlagen")
	if got := a.at("remediation", "value", 0, "value", 0, "label"); got != "Benutzername" {
		t.Errorf("label is %v", got)
	}
	if a := v.identify(mary, password1); a.at("remediation", "value", 0, "value", 0, "options", 0, "label") != "Phone" {
		t.Error("without a language asked for, labels are the English ones that clients look for")
	}
}

func TestExpiresAtIsTheTruth(t *testing.T) {
	h := build(t)
	v, a := h.begin("0oa1seed")
	ends, err := time.Parse(time.RFC3339, a.text("expiresAt"))
	if err != nil || ends != h.clock().Add(time.Hour) {
		t.Fatalf("expires at %s, %v", ends, err)
	}
	h.advance(time.Hour - time.Second)
	v.introspect().want(t, 200, "identify")
	h.advance(time.Second)
	v.introspect().expired(t)
	v.identify(mary, password1).expired(t)
}
