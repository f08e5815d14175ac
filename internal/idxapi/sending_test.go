package idxapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/storetest"
)

// from makes all further requests come from an address.
func (h *house) from(address string) {
	api := h.api
	h.api = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if obs.SourceOf(r.Context()).Address == "" {
			r = r.WithContext(obs.WithSource(r.Context(), audit.Source{Address: address}))
		}
		api.ServeHTTP(w, r)
	})
}

func sends(s limit.Sends) option { return func(c *engine.Config) { c.Sends = s } }

// numberOf is the i-th number of a block; the blocks differ in more than the last four digits.
func numberOf(block, i int) string { return fmt.Sprintf("+1202%03d%04d", 200+block, 1000+i) }

// happened counts the events of a type.
func (h *house) happened(t *testing.T, what audit.Type) int {
	t.Helper()
	n := 0
	for _, e := range storetest.Events(t, h.db) {
		if e.Type == what {
			n++
		}
	}
	return n
}

// want429 is how S-36 wants every limit to be told.
func (a answer) want429(t *testing.T) {
	t.Helper()
	if a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Fatalf("answered %d, Retry-After %q: %s", a.status, a.header.Get("Retry-After"), a.raw)
	}
	a.message(t, "errors.E0000150", "")
}

func (h *house) atNumber(t *testing.T) *visit {
	t.Helper()
	v, _ := h.begin("0oa1seed")
	v.identify(mary, password1).want(t, 200, "select-authenticator-enroll")
	return v
}

// An application that signs people in on its own server tells whose address it speaks for, and proves who it is.
func TestS34_TextsAreCountedByThePersonsOwnAddress(t *testing.T) {
	h := build(t, sends(limit.Sends{PerAddress: limit.DefaultSends().PerAddress}))
	h.from("198.51.100.7") // the application's server
	at := func(source string) *visit {
		handle, err := h.engine.Begin(t.Context(), flow.Request{Server: "default", Client: "0oa1seed", Source: source})
		if err != nil {
			t.Fatal(err)
		}
		v := &visit{house: h, interaction: handle.Reveal()}
		v.state = v.introspect().text("stateHandle")
		v.identify(mary, password1).want(t, 200, "select-authenticator-enroll")
		return v
	}
	one, another := at("2001:db8:1:2::1"), at("203.0.113.9")
	for i := range 30 {
		one.enroll(numberOf(i, i)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	}
	one.enroll(numberOf(31, 0)).want429(t)
	another.enroll(numberOf(32, 0)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	at("2001:db8:1:2::2").enroll(numberOf(33, 0)).want429(t)
}

func TestS34_S36_AnAddressGetsThirtyAnHour(t *testing.T) {
	h := build(t, sends(limit.Sends{PerAddress: limit.DefaultSends().PerAddress}))
	bare := h.api
	h.from("2001:db8:1:2:aaaa::1")
	v := h.atNumber(t)
	for i := range 30 {
		v.enroll(numberOf(i, i)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	}
	v.enroll(numberOf(31, 0)).want429(t)
	h.api = bare
	h.from("2001:db8:1:2:bbbb::1") // the half that a client chooses for itself
	v.enroll(numberOf(31, 0)).want429(t)
	h.api = bare
	h.from("2001:db8:1:3::1")
	v.enroll(numberOf(31, 0)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	if n := h.pocket.count(); n != 31 {
		t.Errorf("%d texts left", n)
	}
	h.api = bare
	h.from("2001:db8:1:2:aaaa::1")
	h.advance(time.Hour)
	h.atNumber(t).enroll(numberOf(32, 0)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
}

func TestS34_ABlockOfNumbersGetsTwentyAnHourUnverified(t *testing.T) {
	h := build(t, sends(limit.Sends{PerBlock: limit.DefaultSends().PerBlock}))
	v := h.atNumber(t)
	for i := range 20 {
		v.enroll(numberOf(0, i)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	}
	v.enroll(numberOf(0, 20)).want429(t)
	v.enroll(numberOf(1, 0)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	h.atCode() // paul's number is his own, and in no list of strangers
}

func TestS34_WhereNoCodeComesBackIsPausedForAnHour(t *testing.T) {
	h := build(t, sends(limit.Sends{Conversion: limit.DefaultSends().Conversion}))
	v := h.atNumber(t)
	for i := range 50 {
		v.enroll(numberOf(i, i)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	}
	if h.happened(t, audit.MessagesPaused) != 0 {
		t.Fatal("paused while every code may still be typed")
	}
	h.advance(limit.DefaultCodes().Lifetime)
	v.enroll(numberOf(50, 0)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	v.enroll(numberOf(51, 0)).want429(t)
	if n := h.happened(t, audit.MessagesPaused); n != 1 {
		t.Errorf("%d events", n)
	}
	v.enroll("+4915112345678").want(t, 200, "enroll-authenticator", "select-authenticator-enroll") // another country
	h.atCode().code(h.pocket.code()).want(t, 200)                                                  // and whoever has a phone signs in
	h.advance(time.Hour)
	h.atNumber(t).enroll(numberOf(52, 0)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	if n := h.happened(t, audit.MessagesPaused); n != 1 {
		t.Errorf("what was sent before the pause counts again: %d events", n)
	}
}

func TestS35_S36_BudgetsOfACountryAndInTotal(t *testing.T) {
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		budgets limit.Budgets
		abroad  bool // another country still gets texts
	}{
		"a country": {limit.Budgets{Country: limit.Budget{Hour: 5, Day: 8}}, true},
		"in total":  {limit.Budgets{Total: limit.Budget{Hour: 5, Day: 8}}, false},
		"in money":  {limit.Budgets{Total: limit.Budget{HourCost: 500_000, DayCost: 800_000}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, sends(limit.Sends{Budgets: test.budgets}), func(c *engine.Config) { c.Price = func(string) int64 { return 100_000 } })
			v := h.atNumber(t)
			for i := range 5 {
				v.enroll(numberOf(i, i)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
			}
			if n := h.happened(t, audit.BudgetNear); n != 1 {
				t.Errorf("at four fifths there are %d events", n)
			}
			v.enroll(numberOf(5, 0)).want429(t)
			if a := v.enroll("+4915112345678"); (a.status == 200) != test.abroad {
				t.Errorf("abroad: %d", a.status)
			}
			h.advance(h.clock().Truncate(time.Hour).Add(time.Hour).Sub(h.clock()))
			for i := range 3 {
				v.enroll(numberOf(i, i)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
			}
			v.enroll(numberOf(5, 0)).want429(t) // the day's
			h.advance(h.clock().Truncate(day).Add(day).Sub(h.clock()))
			h.atNumber(t).enroll(numberOf(5, 0)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
		})
	}
}

func TestS35_ManyAtOnceGetWhatThereIs(t *testing.T) {
	h := build(t, sends(limit.Sends{Budgets: limit.Budgets{Country: limit.Budget{Hour: 3, Day: 100}}}))
	var visits []*visit
	for range 8 {
		visits = append(visits, h.atNumber(t))
	}
	next := make(chan int, len(visits))
	for i := range visits {
		next <- i
	}
	statuses := map[int]int{}
	for _, a := range parallel(len(visits), func() answer { i := <-next; return visits[i].enroll(numberOf(i, i)) }) {
		statuses[a.status]++
	}
	if statuses[200] != 3 || statuses[429] != 5 {
		t.Errorf("answers: %v", statuses)
	}
}

func TestS36_FailedGatewaysGiveTheBudgetBack(t *testing.T) {
	h := build(t, sends(limit.Sends{Budgets: limit.Budgets{Total: limit.Budget{Hour: 1, Day: 1}}}))
	h.pocket.verdict = store.Failed
	v := h.atNumber(t)
	for range 3 {
		v.enroll(numberOf(0, 0)).want(t, 503, "authenticator-enrollment-data", "select-authenticator-enroll").message(t, "latchkey.sms.unavailable", "")
	}
	h.pocket.verdict = ""
	v.enroll(numberOf(0, 0)).want(t, 200, "enroll-authenticator", "select-authenticator-enroll")
	v.enroll(numberOf(0, 1)).want429(t)
}

func TestAPersonIsToldOfAPhoneThatWasSetUp(t *testing.T) {
	for name, verified := range map[string]bool{"their address is known": true, "it is not": false} {
		t.Run(name, func(t *testing.T) {
			h := build(t, func(c *engine.Config) { c.Mail = true })
			err := h.db.Update(t.Context(), func(tx store.Tx) error {
				u, err := tx.User(t.Context(), "00u1mary")
				if err != nil {
					return err
				}
				u.EmailVerified = verified
				return tx.PutUser(t.Context(), u)
			})
			if err != nil {
				t.Fatal(err)
			}
			v := h.atNumber(t)
			v.enroll(number)
			v.code(h.pocket.code()).want(t, 200)
			var mails []store.Message
			err = h.db.Update(t.Context(), func(tx store.Tx) (err error) {
				mails, err = tx.LeaseMessages(t.Context(), "test", h.clock(), h.clock().Add(time.Minute), 10)
				mails = slices.DeleteFunc(mails, func(m store.Message) bool { return m.Channel != "email" })
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if verified != (len(mails) == 1 && mails[0].To.Reveal() == mary) {
				t.Errorf("%d mails", len(mails))
			}
		})
	}
}
