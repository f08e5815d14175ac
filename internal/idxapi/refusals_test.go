package idxapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/store"
)

func TestWrongPassword(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1seed")
	golden(t, "4.1-wrong-password", v.identify(mary, "nope").want(t, 401, "identify").message(t, "errors.E0000004", "Authentication failed"))
	v.identify(mary, password1).want(t, 200, "select-authenticator-enroll")
}

func TestS24_UnknownUser(t *testing.T) {
	t.Run("hide", func(t *testing.T) {
		h := build(t)
		bare := func(login, client string) string {
			v, _ := h.begin("0oa1seed")
			a := v.identify(login, "nope").want(t, 401, "identify")
			return fmt.Sprint(a.header, strings.NewReplacer(v.state, "HANDLE", login, "LOGIN").Replace(a.raw))
		}
		known, unknown := bare(mary, ""), bare("nobody@example.com", "")
		if known != unknown {
			t.Errorf("differ:\n%s\n%s", known, unknown)
		}
		if strange := bare("two words\u200b", ""); strange != known {
			t.Errorf("a name that nobody can hold differs:\n%s", strange)
		}
		h.status(t, "00u1mary", ident.Suspended)
		v, _ := h.begin("0oa1seed")
		v.identify(mary, password1).want(t, 401, "identify").message(t, "errors.E0000004", "Authentication failed")
	})
	t.Run("hide, name first", func(t *testing.T) {
		h := build(t)
		both := func(login string) (string, string) {
			v, _ := h.begin("0oa1name")
			a := v.post("identify", map[string]any{"identifier": login}).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
			b := v.code("nope").want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
			id := fmt.Sprint(a.at("authenticatorEnrollments", "value", 0, "id"))
			if !strings.HasPrefix(id, "lae") || id == "lae" {
				t.Errorf("enrollment id of %s is %q", login, id)
			}
			r := strings.NewReplacer(v.state, "HANDLE", login, "LOGIN", id, "LAE")
			return r.Replace(a.raw), r.Replace(b.raw)
		}
		a1, b1 := both(mary)
		a2, b2 := both("nobody@example.com")
		if a1 != a2 || b1 != b2 {
			t.Errorf("differ:\n%s\n%s\n%s\n%s", a1, a2, b1, b2)
		}
		first, _ := h.begin("0oa1name")
		second, _ := h.begin("0oa1name")
		one := first.post("identify", map[string]any{"identifier": "nobody@example.com"})
		two := second.post("identify", map[string]any{"identifier": "Nobody@Example.com"})
		if one.at("authenticatorEnrollments", "value", 0, "id") != two.at("authenticatorEnrollments", "value", 0, "id") {
			t.Error("the id that stands for an unknown name is not stable")
		}
	})
	t.Run("reveal", func(t *testing.T) {
		h := build(t, reveal)
		v, _ := h.begin("0oa1seed")
		a := v.identify("nobody@example.com", "nope").want(t, 200, "identify")
		golden(t, "4.3-unknown-user", a.message(t, "idx.unknown.user", "There is no account with the Username nobody@example.com."))
		if a.at("messages", "value", 0, "class") != "INFO" {
			t.Error("class is not INFO")
		}
		w, _ := h.begin("0oa1name")
		w.post("identify", map[string]any{"identifier": "nobody"}).want(t, 200, "identify").message(t, "idx.unknown.user", "")
		v.identify(mary, "nope").want(t, 401, "identify").message(t, "errors.E0000004", "")
		h.status(t, "00u1mary", ident.Suspended) // there is an account, and its password is not taken
		v.identify(mary, password1).want(t, 401, "identify").message(t, "errors.E0000004", "")
		w.post("identify", map[string]any{"identifier": mary}).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
		w.code(password1).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate").message(t, "errors.E0000004", "")
	})
}

func (h *house) status(t *testing.T, id ident.UserID, s ident.Status) {
	t.Helper()
	err := h.db.Update(t.Context(), func(tx store.Tx) error {
		u, err := tx.User(t.Context(), id)
		if err != nil {
			return err
		}
		u.Status = s
		return tx.PutUser(t.Context(), u)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestS30_RefusedNumberShowsThePageThatAsksForIt(t *testing.T) {
	h := build(t)
	for _, from := range []string{"the list", "the number page", "the code page"} {
		t.Run(from, func(t *testing.T) {
			v, _ := h.begin("0oa1seed")
			v.identify(mary, password1)
			switch from {
			case "the number page":
				v.post("credential/enroll", map[string]any{"authenticator": map[string]any{"id": "aut1phone"}})
			case "the code page":
				v.enroll(number)
			}
			sent := h.pocket.count()
			a := v.enroll("555-CALL").want(t, 400, "authenticator-enrollment-data", "select-authenticator-enroll")
			a.message(t, "api.factors.error.sms.invalid_phone", "Invalid Phone Number.")
			if from == "the number page" {
				golden(t, "4.4-number", a)
			}
			if h.pocket.count() != sent {
				t.Error("something was sent")
			}
			v.enroll(number).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
		})
	}
}

func TestS09_WrongCodes(t *testing.T) {
	h := build(t)
	v := h.atCode()
	right := h.pocket.code()
	for i := range 5 {
		a := v.code(other(right)).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
		m := a.at("remediation", "value", 0, "value", 0, "form", "value", 0, "messages", "value", 0)
		if walk(m, "i18n", "key") != "api.authn.error.PASSCODE_INVALID" || walk(m, "message") != "Invalid code. Try again." || a.doc["messages"] != nil {
			t.Fatalf("answer %d: %s", i, a.raw)
		}
		if i == 0 {
			golden(t, "4.5-wrong-code", a)
		}
	}
	a := v.code(right).want(t, 429).message(t, "tooManyRequests", "Too many requests")
	if a.doc["cancel"] != nil || a.text("stateHandle") != v.state || a.header.Get("Retry-After") == "" {
		t.Fatalf("the sixth answer is %s", a.raw)
	}
	golden(t, "4.6-too-many", a)
	v.introspect().want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
	v.post("challenge/resend", nil).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
	fresh := h.pocket.code()
	if fresh == right {
		t.Error("a dead code was sent again")
	}
	v.code(right).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
	v.code(fresh).want(t, 200)
}

func TestS11_OnlyGuessesThatCanBeCodesCount(t *testing.T) {
	h := build(t)
	v := h.atCode()
	for _, guess := range []string{"12345", "1234567", "12345a", " 12345", "１２３４５６", "12 456", "-12345"} {
		v.code(guess).want(t, 400, "challenge-authenticator", "select-authenticator-authenticate").message(t, "errors.E0000003", "The request body was not well-formed.")
	}
	v.code("").want(t, 400, "challenge-authenticator", "select-authenticator-authenticate").message(t, "api.error.field_required", "")
	for _, wrong := range []any{123456, true, []string{"123456"}, map[string]string{"x": "123456"}} {
		v.post("challenge/answer", map[string]any{"credentials": map[string]any{"passcode": wrong}}).
			want(t, 400, "challenge-authenticator", "select-authenticator-authenticate").message(t, "errors.E0000003", "")
	}
	for range 4 {
		v.code(other(h.pocket.code())).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
	}
	v.code(h.pocket.code()).want(t, 200)
}

func TestS08_ExpiredCodeIsAWrongOne(t *testing.T) {
	h := build(t)
	v := h.atCode()
	h.advance(5 * time.Minute)
	v.code(h.pocket.code()).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
	v.post("challenge/resend", nil).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
	v.code(h.pocket.code()).want(t, 200)
}

func TestS10_FactorIsSuspendedAfterTenOverAllFlows(t *testing.T) {
	h := build(t)
	for range 2 {
		v := h.atCode()
		for range 5 {
			v.code(other(h.pocket.code())).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
		}
	}
	v, _ := h.begin("0oa1seed")
	v.identify("paul@example.com", password1)
	v.challenge().want(t, 429).message(t, "authfactor.challenge.suspended_factor", "This factor is suspended for your account due to too many failed attempts")
	h.advance(15 * time.Minute)
	v = h.atCode()
	v.code(h.pocket.code()).want(t, 200)
	v = h.atCode()
	v.code(other(h.pocket.code())).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
}

func TestS10_ASuccessResetsTheCount(t *testing.T) {
	h := build(t)
	for range 4 {
		v := h.atCode()
		for range 4 {
			v.code(other(h.pocket.code())).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
		}
		v.code(h.pocket.code()).want(t, 200)
	}
}

func TestS12_ACodeOpensOnlyItsOwnFlow(t *testing.T) {
	h := build(t)
	one := h.atCode()
	first := h.pocket.code()
	two := h.atCode()
	second := h.pocket.code()
	if first == second {
		t.Skip("two codes are equal by chance, one in a million")
	}
	two.code(first).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
	one.code(second).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
	one.code(first).want(t, 200)
	two.code(second).want(t, 200)
}

func TestS12_ANewNumberReplacesThePendingOne(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1seed")
	v.identify(mary, password1)
	v.enroll("+15550001111")
	old := h.pocket.code()
	v.enroll(number)
	if old == h.pocket.code() {
		t.Skip("two codes are equal by chance, one in a million")
	}
	v.code(old).want(t, 401, "enroll-authenticator", "select-authenticator-enroll")
	v.code(h.pocket.code()).want(t, 200)
}

func TestS13_S23_TheSameAnswerTwice(t *testing.T) {
	h := build(t)
	v := h.atCode()
	code := h.pocket.code()
	first := v.code(code).want(t, 200)
	if again := v.code(code); again.raw != first.raw {
		t.Errorf("the very same answer within 10 s gets\n%s\nafter\n%s", again.raw, first.raw)
	}
	v.code(other(code)).expired(t)
	h.advance(10 * time.Second)
	v.code(code).expired(t)
	v.introspect().expired(t)
}

func TestS23_ThePasswordTwice(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1one")
	first := v.identify(mary, password1).want(t, 200)
	if again := v.identify(mary, password1); again.raw != first.raw {
		t.Errorf("the very same answer within 10 s gets\n%s", again.raw)
	}
	v.identify(mary, "nope").expired(t)
	v.identify("paul@example.com", password1).expired(t)
	h.advance(10 * time.Second)
	v.identify(mary, password1).expired(t)
}

func TestS23_AnswerSentTwiceAtOnce(t *testing.T) {
	h := build(t)
	for range 10 {
		v := h.atCode()
		code := h.pocket.code()
		got := parallel(2, func() answer { return v.code(code) })
		for _, a := range got {
			a.want(t, 200)
			if a.raw != got[0].raw {
				t.Fatalf("two codes for one flow:\n%s\n%s", got[0].raw, a.raw)
			}
		}
	}
}

func TestS14_Resend(t *testing.T) {
	h := build(t, production)
	v := h.atCode()
	code := h.pocket.code()
	early := v.post("challenge/resend", nil).want(t, 429, "challenge-authenticator", "select-authenticator-authenticate").message(t, "tooManyRequests", "")
	if early.header.Get("Retry-After") != "30" {
		t.Errorf("Retry-After is %q", early.header.Get("Retry-After"))
	}
	if left, reset := early.header.Get("X-Rate-Limit-Remaining"), early.header.Get("X-Rate-Limit-Reset"); left != "0" || len(reset) != 10 {
		t.Errorf("%q left, reset at %q", left, reset)
	}
	v.code(other(code)).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
	h.advance(30 * time.Second)
	v.post("challenge/resend", nil).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
	if h.pocket.count() != 2 || h.pocket.code() != code {
		t.Error("within its lifetime the same code is sent again")
	}
	for range 4 { // tries carry over: one was used before the resend
		v.code(other(code)).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
	}
	v.code(code).want(t, 429)
	h.advance(30 * time.Second)
	v.post("challenge/resend", nil).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
	h.advance(4*time.Minute + 1*time.Second)
	fresh := h.pocket.code()
	v.post("challenge/resend", nil).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
	if h.pocket.code() == fresh {
		t.Error("with less than a minute left a new code is made")
	}
	v.code(fresh).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate") // the new one killed the old
	v.code(h.pocket.code()).want(t, 200)
}

func TestS14_TheIntervalIsTheNumbersWhateverTheFlow(t *testing.T) {
	h := build(t, production)
	h.atCode()
	v, _ := h.begin("0oa1seed")
	v.identify("paul@example.com", password1)
	v.challenge().want(t, 429, "authenticator-verification-data", "select-authenticator-authenticate").message(t, "tooManyRequests", "")
	h.advance(30 * time.Second)
	v.challenge().want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
}

func TestS32_S36_NumberGetsFiveInTenMinutesWithoutASuccess(t *testing.T) {
	h := build(t, production)
	v := h.atCode()
	for range 4 {
		h.advance(30 * time.Second)
		v.post("challenge/resend", nil).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
	}
	h.advance(30 * time.Second)
	a := v.post("challenge/resend", nil).want(t, 429, "challenge-authenticator", "select-authenticator-authenticate")
	a.message(t, "errors.E0000150", "You have reached the limit of sms requests, please try again later.")
	if a.header.Get("Retry-After") == "" || h.pocket.count() != 5 {
		t.Errorf("Retry-After %q, %d texts", a.header.Get("Retry-After"), h.pocket.count())
	}
	v.code(h.pocket.code()).want(t, 200)
	h.advance(30 * time.Second)
	h.atCode() // the success reset the number's count
}

func TestS33_ThreeNewNumbersADay(t *testing.T) {
	h := build(t, production)
	v, _ := h.begin("0oa1seed")
	v.identify(mary, password1)
	for i := range 3 {
		v.enroll(fmt.Sprintf("+1555123000%d", i)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	}
	v.enroll("+15551230009").want(t, 429, "enroll-authenticator", "select-authenticator-enroll").message(t, "errors.E0000150", "")
	h.advance(30 * time.Second)
	v.enroll("+15551230000").want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
}

func TestS36_S81_GatewaysThatFailGiveTheAllowanceBack(t *testing.T) {
	h := build(t, production)
	v, _ := h.begin("0oa1seed")
	v.identify(mary, password1)
	h.pocket.verdict = store.Failed
	v.enroll(number).want(t, 503, "authenticator-enrollment-data", "select-authenticator-enroll").message(t, "latchkey.sms.unavailable", "")
	v.introspect().want(t, 200, "authenticator-enrollment-data", "select-authenticator-enroll")
	h.pocket.verdict = ""
	v.enroll(number).want(t, 200, "enroll-authenticator", "select-authenticator-enroll") // at once: no interval was used
	h.advance(time.Minute)

	w, _ := h.begin("0oa1seed")
	w.identify("paul@example.com", password1)
	h.pocket.verdict = store.Failed
	w.challenge().want(t, 503, "authenticator-verification-data", "select-authenticator-authenticate").message(t, "latchkey.sms.unavailable", "")
	h.pocket.verdict = ""
	w.challenge().want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
}

func TestS33_NumbersThatAreRefusedCount(t *testing.T) {
	h := build(t, production)
	v, _ := h.begin("0oa1seed")
	v.identify(mary, password1)
	h.pocket.verdict = store.Refused
	for i := range 3 {
		v.enroll(fmt.Sprintf("+1555123000%d", i)).want(t, 400, "authenticator-enrollment-data", "select-authenticator-enroll").
			message(t, "api.factors.error.sms.invalid_phone", "Invalid Phone Number.")
		v.introspect().want(t, 200, "authenticator-enrollment-data", "select-authenticator-enroll")
	}
	h.pocket.verdict = ""
	v.enroll("+15551230009").want(t, 429, "authenticator-enrollment-data", "select-authenticator-enroll").message(t, "errors.E0000150", "")
	h.advance(24 * time.Hour)
	v, _ = h.begin("0oa1seed")
	v.identify(mary, password1)
	v.enroll("+15551230009").want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
}

func TestS18_UnknownHandles(t *testing.T) {
	h := build(t)
	for path, body := range map[string]string{
		"introspect":        `{"interactionHandle":"nobody holds this"}`,
		"identify":          `{"identifier":"x","credentials":{"passcode":"x"},"stateHandle":"02x"}`,
		"challenge":         `{"authenticator":{"id":"aut1phone"},"stateHandle":"02x"}`,
		"challenge/answer":  `{"credentials":{"passcode":"123456"},"stateHandle":"02x"}`,
		"challenge/resend":  `{"stateHandle":"02x"}`,
		"credential/enroll": `{"authenticator":{"id":"aut1phone"},"stateHandle":"02x"}`,
		"skip":              `{"stateHandle":"02x"}`,
		"cancel":            `{"stateHandle":"02x"}`,
	} {
		t.Run(path, func(t *testing.T) { golden(t, "4.8-expired", h.send(path, body, nil).expired(t)) })
	}
}

func TestS19_StepsThatAreNotOffered(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1seed")
	no := func(a answer, forms ...string) {
		t.Helper()
		a.want(t, 400, forms...).message(t, "errors.E0000020", "Bad request.")
	}
	no(v.code("123456"), "identify")
	no(v.challenge(), "identify")
	no(v.enroll(number), "identify")
	no(v.post("skip", nil), "identify")
	no(v.post("challenge/resend", nil), "identify")
	v.identify("paul@example.com", password1)
	verifying := []string{"authenticator-verification-data", "select-authenticator-authenticate"}
	no(v.code("123456"), verifying...)
	no(v.enroll(number), verifying...) // S-22: a phone is enrolled
	no(v.post("skip", nil), verifying...)
	no(v.post("challenge", map[string]any{"authenticator": map[string]any{"id": "aut1phone", "enrollmentId": "sms1mary", "methodType": "sms"}}), verifying...)
	no(v.post("challenge", map[string]any{"authenticator": map[string]any{"id": "aut1nothing"}}), verifying...)
	no(v.post("challenge", map[string]any{"authenticator": map[string]any{"id": "aut1password"}}), verifying...)
	if h.pocket.count() != 0 {
		t.Error("something was sent")
	}
	v.challenge().want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
}

func TestS21_AnotherNameForgetsTheProofs(t *testing.T) {
	h := build(t)
	v := h.atCode()
	paulsCode := h.pocket.code()
	v.identify(mary, password1).want(t, 200, "select-authenticator-enroll")
	v.code(paulsCode).want(t, 400, "select-authenticator-enroll")
	v.identify("paul@example.com", "nope").want(t, 401, "identify")
	v.code(paulsCode).want(t, 400, "identify")
}

func TestCancel(t *testing.T) {
	h := build(t)
	v := h.atCode()
	a := v.post("cancel", nil).want(t, 200, "identify")
	fresh := &visit{house: h, state: a.text("stateHandle")}
	if fresh.state == v.state {
		t.Fatal("the state handle is the old one")
	}
	if again := v.post("cancel", nil); again.raw != a.raw {
		t.Errorf("cancelling twice answers\n%s", again.raw)
	}
	v.introspect().expired(t)
	v.identify(mary, password1).expired(t)
	v.code(h.pocket.code()).expired(t)
	fresh.identify(mary, password1).want(t, 200, "select-authenticator-enroll")
	fresh.enroll("+15557654321")
	fresh.code(h.pocket.code()).want(t, 200)
}

func TestBodies(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1seed")
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	wide := `{"stateHandle":"` + v.state + `"` + strings.Repeat(`,"a":1`, 2000) + `}`
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"S-48 empty":             {``, 400},
		"S-48 no JSON":           {`identifier=x`, 400},
		"S-48 an array":          {`[]`, 400},
		"S-48 null":              {`null`, 400},
		"S-48 two objects":       {`{}{}`, 400},
		"S-48 cut off":           {`{"identifier":"x"`, 400},
		"S-48 no UTF-8":          {"{\"identifier\":\"\xff\"}", 400},
		"S-48 NUL":               {`{"identifier":"a\u0000b","stateHandle":"` + v.state + `"}`, 400},
		"S-48 newline":           {`{"identifier":"a\nb","stateHandle":"` + v.state + `"}`, 400},
		"S-48 name is a list":    {`{"identifier":["x"],"stateHandle":"` + v.state + `"}`, 400},
		"S-48 credentials text":  {`{"identifier":"x","credentials":"y","stateHandle":"` + v.state + `"}`, 400},
		"S-47 deep":              {deep, 400},
		"S-47 wide":              {wide, 400},
		"S-47 long name":         {`{"identifier":"` + strings.Repeat("x", 255) + `","credentials":{"passcode":"x"},"stateHandle":"` + v.state + `"}`, 400},
		"S-02 long password":     {`{"identifier":"x","credentials":{"passcode":"` + strings.Repeat("x", 1025) + `"},"stateHandle":"` + v.state + `"}`, 400},
		"S-47 large":             {`{"x":"` + strings.Repeat("x", 64<<10) + `"}`, 413},
		"no handle":              {`{"identifier":"x","credentials":{"passcode":"x"}}`, 400},
		"handle is a number":     {`{"identifier":"x","credentials":{"passcode":"x"},"stateHandle":7}`, 400},
		"no name":                {`{"credentials":{"passcode":"x"},"stateHandle":"` + v.state + `"}`, 400},
		"no password":            {`{"identifier":"x","stateHandle":"` + v.state + `"}`, 400},
		"S-20 unknown members":   {`{"identifier":"mary@example.com","credentials":{"passcode":"Correct-Horse-1","x":1},"rememberMe":true,"y":null,"stateHandle":"` + v.state + `"}`, 200},
		"rememberMe as anything": {`{"identifier":"mary@example.com","credentials":{"passcode":"Correct-Horse-1"},"rememberMe":"yes","stateHandle":"` + v.state + `"}`, 200},
	} {
		t.Run(name, func(t *testing.T) {
			if a := h.send("identify", c.body, nil); a.status != c.status {
				t.Errorf("got %d, want %d: %s", a.status, c.status, a.raw)
			}
		})
	}
	v.introspect().want(t, 200, "select-authenticator-enroll")
}

func TestMediaTypesAndMethods(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1seed")
	body := `{"interactionHandle":"` + v.interaction + `"}`
	for kind, status := range map[string]int{
		"application/json": 200, "application/json; okta-version=1.0.0": 200, "application/ion+json; okta-version=1.0.0": 200,
		"application/ion+json; okta-version=1.0.0; charset=utf-8": 200, "application/ion+json; charset=UTF-8; okta-version=1.0.0": 200,
		"APPLICATION/JSON;charset=utf-8": 200, "application/json; okta-version=2.0.0": 400,
		"text/plain": 415, "": 415, "application/x-www-form-urlencoded": 415, "multipart/form-data": 415,
	} {
		t.Run("S-41 "+kind, func(t *testing.T) {
			a := h.send("introspect", body, http.Header{"Content-Type": {kind}})
			if a.status != status {
				t.Errorf("got %d, want %d", a.status, status)
			}
			if status == 415 {
				a.message(t, "errors.E0000021", "")
			}
		})
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "TRACE", "HEAD", "PATCH"} {
		t.Run("S-49 "+method, func(t *testing.T) {
			r := httptest.NewRequest(method, origin+"/idp/idx/identify", nil)
			r.Header.Set("X-HTTP-Method-Override", "POST")
			w := httptest.NewRecorder()
			h.api.ServeHTTP(w, r)
			if w.Code != 405 || w.Header().Get("Allow") != "POST" {
				t.Errorf("got %d, Allow %q", w.Code, w.Header().Get("Allow"))
			}
		})
	}
	r := httptest.NewRequest("POST", origin+"/idp/idx/no-such-step<script>", strings.NewReader("{}"))
	if a := h.serve(r); a.status != 404 || strings.Contains(a.raw, "script") {
		t.Errorf("S-49 unknown path: %d %s", a.status, a.raw)
	}
}

// parallel runs f n times at once.
func parallel[T any](n int, f func() T) []T {
	got := make([]T, n)
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-begin
			got[i] = f()
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
	return got
}

func TestS11_TwoHundredGuessesAtOnce(t *testing.T) {
	h := build(t)
	v := h.atCode()
	right := h.pocket.code()
	var statuses []int
	for _, a := range parallel(200, func() answer { return v.code(other(right)) }) {
		statuses = append(statuses, a.status)
	}
	slices.Sort(statuses)
	wrong := slices.Index(statuses, 429)
	// A slow machine may send some of them away before they are counted, which judges nothing.
	if wrong != 5 || slices.ContainsFunc(statuses[wrong:], func(s int) bool { return s != 429 && s != 503 }) {
		t.Fatalf("%d guesses were judged, want 5: %v", wrong, statuses)
	}
	v.code(right).want(t, 429)
}
