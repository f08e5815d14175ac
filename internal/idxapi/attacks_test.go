package idxapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/storetest"
)

// What was found by attacking the house, each with the rule that it broke.

func TestS10_NoGuessIsJudgedWhileSuspended(t *testing.T) {
	h := build(t)
	var visits []*visit
	var codes []string
	for range 4 { // four codes are out before the first guess
		visits = append(visits, h.atCode())
		codes = append(codes, h.pocket.code())
	}
	for i := range 2 {
		for range 5 {
			visits[i].code(other(codes[i])).want(t, 401, "challenge-authenticator", "select-authenticator-authenticate")
		}
	}
	for i := range 2 {
		a := visits[2+i].code(codes[2+i]).want(t, 429).message(t, "authfactor.challenge.suspended_factor", "")
		if a.header.Get("Retry-After") != "900" {
			t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
		}
	}
	if n := h.recorded(audit.FactorSuspended); n != 1 {
		t.Errorf("S-71: the suspension was recorded %d times, want once", n)
	}
	// What was refused was not counted: the code is still good, had it not expired.
	h.advance(4 * time.Minute)
	visits[2].code(codes[2]).want(t, 429).message(t, "authfactor.challenge.suspended_factor", "")
}

func TestS10_ManyFlowsAtOnceGetTenGuesses(t *testing.T) {
	h := build(t)
	var visits []*visit
	var codes []string
	for range 20 {
		visits = append(visits, h.atCode())
		codes = append(codes, h.pocket.code())
	}
	next := make(chan int, 100)
	for i := range cap(next) {
		next <- i % len(visits)
	}
	judged := 0
	for _, a := range parallel(cap(next), func() answer {
		i := <-next
		return visits[i].code(other(codes[i]))
	}) {
		switch a.status {
		case http.StatusUnauthorized:
			judged++
		case http.StatusTooManyRequests, http.StatusServiceUnavailable: // a slow machine may send some away uncounted
		default:
			t.Errorf("got %d: %s", a.status, a.raw)
		}
	}
	if judged != 10 {
		t.Errorf("%d guesses were judged, want 10", judged)
	}
}

// recorded counts the events of a type.
func (h *house) recorded(kind audit.Type) (n int) {
	h.t.Helper()
	for _, e := range h.events() {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func (h *house) events() []audit.Event {
	h.t.Helper()
	return storetest.Events(h.t, h.db)
}

// Two tabs enroll; the one that comes second meets a phone that is enrolled by now.
func TestS22_TwoTabsEnroll(t *testing.T) {
	verifying := []string{"authenticator-verification-data", "select-authenticator-authenticate"}
	for _, client := range []string{"0oa1seed", "0oa1optional"} {
		t.Run(client, func(t *testing.T) {
			h := build(t)
			first, second, third := h.enrolling(client), h.enrolling(client), h.enrolling(client)
			first.enroll(number)
			code := h.pocket.code()
			second.enroll("+15557654321")
			lateCode := h.pocket.code()
			first.code(code).want(t, 200)

			second.introspect().want(t, 200, verifying...)
			second.code(lateCode).want(t, 400, verifying...).message(t, "errors.E0000020", "")
			second.post("challenge/resend", nil).want(t, 400, verifying...).message(t, "errors.E0000020", "")
			second.enroll("+15557654321").want(t, 400, verifying...).message(t, "errors.E0000020", "")
			second.post("skip", nil).want(t, 400, verifying...).message(t, "errors.E0000020", "")
			third.post("skip", nil).want(t, 400, verifying...).message(t, "errors.E0000020", "")
			sent := h.pocket.count()
			second.post("challenge", map[string]any{"authenticator": map[string]any{"id": "aut1phone", "methodType": "sms"}}).
				want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
			if h.pocket.count() != sent+1 || h.pocket.texts[sent].To != number {
				t.Error("the code does not go to the number that was enrolled")
			}
			second.code(h.pocket.code()).want(t, 200)
		})
	}
}

func (h *house) enrolling(client string) *visit {
	h.t.Helper()
	v, _ := h.begin(oauth.ClientID(client))
	v.identify(mary, password1).want(h.t, 200, append([]string{"select-authenticator-enroll"}, map[bool][]string{true: {"skip"}}[client == "0oa1optional"]...)...)
	return v
}

func TestS22_TwoTabsEnrollAtOnce(t *testing.T) {
	h := build(t)
	for round := range 5 {
		login := fmt.Sprintf("twin%d@example.com", round)
		h.person(ident.UserID(fmt.Sprintf("00u1twin%d", round)), login, cheapPassword, false)
		var visits []*visit
		var codes []string
		for i := range 4 {
			v, _ := h.begin("0oa1seed")
			v.identify(login, password1)
			v.enroll(fmt.Sprintf("+1555765%04d", 10*round+i))
			visits, codes = append(visits, v), append(codes, h.pocket.code())
		}
		next := make(chan int, len(visits))
		for i := range visits {
			next <- i
		}
		won := 0
		for _, a := range parallel(len(visits), func() answer {
			i := <-next
			return visits[i].code(codes[i])
		}) {
			switch a.status {
			case http.StatusOK:
				won++
			case http.StatusBadRequest:
				a.want(t, 400, "authenticator-verification-data", "select-authenticator-authenticate").message(t, "errors.E0000020", "")
			default:
				t.Errorf("got %d: %s", a.status, a.raw)
			}
		}
		if won != 1 {
			t.Errorf("%d numbers were enrolled", won)
		}
	}
}

func TestS22_TheEnrolledPhoneIsRemovedMeanwhile(t *testing.T) {
	h := build(t)
	v := h.atCode()
	code := h.pocket.code()
	if err := h.db.Update(t.Context(), func(tx store.Tx) error { return tx.DropEnrollment(t.Context(), "sms1paul") }); err != nil {
		t.Fatal(err)
	}
	v.code(code).want(t, 400, "select-authenticator-enroll").message(t, "errors.E0000020", "")
	v.post("challenge/resend", nil).want(t, 400, "select-authenticator-enroll")
	v.enroll(number).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	v.code(h.pocket.code()).want(t, 200)
}

func TestS23_ThePasswordTwiceAtOnceNameFirst(t *testing.T) {
	h := build(t)
	for range 5 {
		v, _ := h.begin("0oa1nameonly")
		v.post("identify", map[string]any{"identifier": mary}).want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
		got := parallel(2, func() answer { return v.code(password1) })
		for _, a := range got {
			if a.want(t, 200).raw != got[0].raw {
				t.Fatalf("two codes for one flow:\n%s\n%s", got[0].raw, a.raw)
			}
		}
		v.code("nope").expired(t)
	}
}

// A finished flow compares passwords for ten seconds more. It must not become a place to guess.
func TestS23_AFinishedFlowIsNoOracle(t *testing.T) {
	var c counter
	h := build(t, counting(&c, 2))
	for client, again := range map[string]func(*visit, string) answer{
		"0oa1one":      func(v *visit, guess string) answer { return v.identify(mary, guess) },
		"0oa1nameonly": func(v *visit, guess string) answer { return v.code(guess) },
	} {
		t.Run(client, func(t *testing.T) {
			v, _ := h.begin(oauth.ClientID(client))
			if client == "0oa1nameonly" {
				v.post("identify", map[string]any{"identifier": mary})
			}
			again(v, password1).want(t, 200)
			before := c.calls.Load()
			for i := range 10 {
				again(v, fmt.Sprint("guess ", i)).expired(t)
			}
			if n := c.calls.Load() - before; n != 3 {
				t.Errorf("%d guesses were judged, want 3", n)
			}
			again(v, password1).expired(t)
		})
	}
}

// What a cancelled handle answers again is the fresh form, and nothing of what came after it.
func TestS23_ACancelledHandleDoesNotLeadOn(t *testing.T) {
	h := build(t)
	v := h.atCode()
	fresh := &visit{house: h, state: v.post("cancel", nil).want(t, 200, "identify").text("stateHandle")}
	v.post("cancel", nil).want(t, 200, "identify")
	fresh.identify("paul@example.com", password1).want(t, 200, "authenticator-verification-data", "select-authenticator-authenticate")
	v.post("cancel", nil).expired(t)
	fresh.challenge().want(t, 200, "challenge-authenticator", "select-authenticator-authenticate")
}

func TestS48_BodiesThatTwoReadersReadDifferently(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1one")
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"m%d":1`, i)
		}
		return b.String()
	}
	good := `"stateHandle":"` + v.state + `","identifier":"nobody@example.com","credentials":{"passcode":"x"}`
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"a name twice":                    {`{"stateHandle":"02x",` + good + `}`, 400},
		"a name twice, once escaped":      {`{"state\u0048andle":"02x",` + good + `}`, 400},
		"a name twice, deeper":            {`{"stateHandle":"` + v.state + `","identifier":"x","credentials":{"passcode":"x","passcode":"y"}}`, 400},
		"a name twice in different ones":  {`{` + good + `,"a":{"x":1},"b":[{"x":1},{"x":1}]}`, 401},
		"half a surrogate pair":           {`{"stateHandle":"` + v.state + `","identifier":"mary\ud800","credentials":{"passcode":"x"}}`, 400},
		"half a surrogate pair, password": {`{"stateHandle":"` + v.state + `","identifier":"mary","credentials":{"passcode":"\udfff"}}`, 400},
		"a whole surrogate pair":          {`{"stateHandle":"` + v.state + `","identifier":"mary","credentials":{"passcode":"\ud83d\ude00"}}`, 401},
		"another case":                    {`{"StateHandle":"` + v.state + `","identifier":"x","credentials":{"passcode":"x"}}`, 400},
		"a byte order mark":               {"\ufeff{" + good + "}", 400},
		"a number too large for anybody":  {`{` + good + `,"n":1e999999}`, 400},
		"S-47 256 members":                {`{` + good + members(253) + `}`, 401},
		"S-47 257 members":                {`{` + good + members(254) + `}`, 400},
		"S-47 depth 32":                   {`{` + good + `,"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, 401},
		"S-47 depth 33":                   {`{` + good + `,"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, 400},
		"S-47 a long list":                {`{` + good + `,"a":[` + strings.Repeat("1,", 2000) + `1]}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			if a := h.send("identify", c.body, nil); a.status != c.status {
				t.Errorf("got %d, want %d: %s", a.status, c.status, a.raw)
			}
		})
	}
}

func TestS49_PathsAreTakenAsTheyAre(t *testing.T) {
	h := build(t)
	for _, path := range []string{"/idp/idx//identify", "/idp/idx/x/../identify", "/idp/idx/./identify", "/idp/idx/identify/", "/idp/idx/", "/idp/idx"} {
		r := httptest.NewRequest(http.MethodPost, origin+path, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		if a := h.serve(r); a.status != 404 || a.header.Get("Location") != "" {
			t.Errorf("%s: %d to %q", path, a.status, a.header.Get("Location"))
		}
	}
}

func TestS51_ADeadlineIsNotAFault(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1one")
	for name, end := range map[string]func() (context.Context, context.CancelFunc){
		"out of time": func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), -1) },
		"the client left": func() (context.Context, context.CancelFunc) {
			c, f := context.WithCancel(t.Context())
			f()
			return c, f
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, done := end()
			defer done()
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, origin+"/idp/idx/identify",
				strings.NewReader(`{"identifier":"mary@example.com","credentials":{"passcode":"x"},"stateHandle":"`+v.state+`"}`))
			r.Header.Set("Content-Type", "application/json")
			a := h.serve(r)
			if a.status != 503 || a.header.Get("Retry-After") == "" {
				t.Errorf("got %d, Retry-After %q: %s", a.status, a.header.Get("Retry-After"), a.raw)
			}
		})
	}
}

// S-71 asks for every message refused and every limit hit; S-72 for nothing in it that must not be written.
func TestS71_RefusedMessagesAndGuessesAreRecorded(t *testing.T) {
	h := build(t, production)
	v, _ := h.begin("0oa1seed")
	v.identify(mary, password1)
	v.enroll("555-CALL")
	v.enroll("+15557654321")
	v.post("challenge/resend", nil).want(t, 429, "enroll-authenticator", "select-authenticator-enroll")
	for range 6 {
		v.code(other(h.pocket.code()))
	}
	var refused []audit.Event
	for _, e := range h.events() {
		if e.Type == audit.CodeNotSent || e.Type == audit.CodeExhausted {
			refused = append(refused, e)
		}
		if all := fmt.Sprintf("%+v", e); strings.Contains(all, "7654321") || strings.Contains(all, "CALL") {
			t.Errorf("S-72: %s", all)
		}
	}
	if len(refused) != 3 || refused[0].Type != audit.CodeNotSent || refused[1].Type != audit.CodeNotSent || refused[2].Type != audit.CodeExhausted {
		t.Fatalf("recorded %+v", refused)
	}
	for _, e := range refused {
		if e.OK || e.User != "00u1mary" || e.Client != "0oa1seed" || e.Reason == "" || e.Flow == "" || e.At.IsZero() {
			t.Errorf("incomplete: %+v", e)
		}
	}
	if refused[1].Finger == "" || refused[1].Target != "+1 XXX-XXX-4321" {
		t.Errorf("the number cannot be searched for: %+v", refused[1])
	}
}

// Fifty flows ask for a text at the same instant: the limits of number and account hold over all of them.
func TestS14_S33_ParallelFlowsGetWhatOneWouldGet(t *testing.T) {
	for name, c := range map[string]struct {
		number func(i int) string
		sent   int
	}{
		"S-14 one number, one text":            {func(int) string { return number }, 1},
		"S-33 many numbers, three of them new": {func(i int) string { return fmt.Sprintf("+1555765%04d", i) }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, production)
			const flows = 50
			next := make(chan func() answer, flows)
			for i := range flows {
				v := h.enrolling("0oa1seed")
				next <- func() answer { return v.enroll(c.number(i)) }
			}
			ok := 0
			for _, a := range parallel(flows, func() answer { return (<-next)() }) {
				switch a.status {
				case http.StatusOK:
					ok++
				case http.StatusTooManyRequests:
					if a.header.Get("Retry-After") == "" {
						t.Error("no Retry-After")
					}
				default:
					t.Errorf("got %d: %s", a.status, a.raw)
				}
			}
			if ok != c.sent || h.pocket.count() != c.sent {
				t.Errorf("%d flows went on, %d texts were sent, want %d", ok, h.pocket.count(), c.sent)
			}
		})
	}
}

// One flow is pushed in every direction at once: nothing is a fault of ours, and it ends in one state.
func TestS51_EverythingAtOnce(t *testing.T) {
	h := build(t)
	for range 4 {
		h.advance(24 * time.Hour) // wrong codes are among what follows, and suspend the phone
		v := h.atCode()
		code := h.pocket.code()
		steps := make(chan func() answer, 40)
		for range 4 {
			for _, step := range []func() answer{
				func() answer { return v.code(code) },
				func() answer { return v.code(other(code)) },
				func() answer { return v.post("challenge/resend", nil) },
				func() answer { return v.challenge() },
				func() answer { return v.identify(mary, password1) },
				func() answer { return v.identify("paul@example.com", "nope") },
				func() answer { return v.enroll("+15557654321") },
				func() answer { return v.post("skip", nil) },
				func() answer { return v.post("cancel", nil) },
				v.introspect,
			} {
				steps <- step
			}
		}
		codes := map[any]bool{}
		for _, a := range parallel(cap(steps), func() answer { return (<-steps)() }) {
			if a.status >= http.StatusInternalServerError {
				t.Fatalf("got %d: %s", a.status, a.raw)
			}
			if a.doc["successWithInteractionCode"] != nil {
				codes[a.at("successWithInteractionCode", "value", 1, "value")] = true
			}
		}
		if len(codes) > 1 {
			t.Errorf("%d interaction codes for one flow", len(codes))
		}
		if n := h.recorded(audit.SignedIn); n > 4 {
			t.Errorf("%d sign-ins of four flows", n)
		}
		v.introspect().expired(t) // somebody cancelled, or it was finished
	}
}

// Whatever a later step claims about what the flow was begun for, the code is for what interact was told.
func TestS17_NothingLaterChangesWhatInteractBound(t *testing.T) {
	h := build(t)
	v, _ := h.begin("0oa1one")
	claims := map[string]any{
		"client_id": "0oa1web", "clientId": "0oa1web", "redirect_uri": "https://evil.example/", "scope": "openid offline_access",
		"state": "another", "nonce": "another", "code_challenge": strings.Repeat("A", 43), "app": map[string]any{"value": map[string]any{"id": "0oa1web"}},
		"identifier": mary, "credentials": credentials(password1),
	}
	a := v.post("identify", claims).want(t, 200)
	code, _ := a.at("successWithInteractionCode", "value", 1, "value").(string)
	err := h.db.Update(t.Context(), func(tx store.Tx) error {
		c, err := tx.SpendCode(t.Context(), secret.DigestOf(secret.InteractionCode, code), h.clock())
		g := c.Grant
		if c.Redirect != "http://localhost:8080/login/callback" || c.PKCE != "B3wDVrJbGGv_JOl0JzjLjkJxCvmVwttQKtrFWAmRKGU" || g.Client != "0oa1one" ||
			g.Nonce != "a nonce" || fmt.Sprint(g.Scopes) != "[openid profile email]" || g.User != "00u1mary" {
			t.Errorf("the code is for %+v", c)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
