package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

const (
	number = "+12025550143"
	code   = "Your code is 246813."
)

// rows is an outbox table and what hangs on it, by the letter of store.Messages.
type rows struct {
	store.Tx // everything else is not for us, and panics
	mu       sync.Mutex
	rows     map[string]store.Message
	settled  map[string]time.Time
	dropped  []string
	by       map[string]string // gateways, by send
	charges  map[[2]string]store.Charge
	events   []audit.Event
	down     error
}

func newRows(messages ...store.Message) *rows {
	r := &rows{rows: map[string]store.Message{}, settled: map[string]time.Time{}, by: map[string]string{}, charges: map[[2]string]store.Charge{}}
	for _, m := range messages {
		r.rows[m.ID] = m
	}
	return r
}

func (r *rows) Update(_ context.Context, f func(store.Tx) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return r.down
	}
	return f(r)
}

func (r *rows) View(ctx context.Context, f func(store.Tx) error) error     { return r.Update(ctx, f) }
func (r *rows) ViewOnce(ctx context.Context, f func(store.Tx) error) error { return r.Update(ctx, f) }
func (r *rows) Now(context.Context) (time.Time, error)                     { return time.Now(), nil }
func (r *rows) Close() error                                               { return nil }

func (r *rows) LeaseMessages(_ context.Context, worker string, now, until time.Time, n int) ([]store.Message, error) {
	var taken []store.Message
	for id, m := range r.rows {
		if m.Status == store.Waiting && !m.Due.After(now) && len(taken) < n {
			m.Lease, m.Due = worker, until
			r.rows[id] = m
			taken = append(taken, m)
		}
	}
	return taken, nil
}

func (r *rows) Settle(_ context.Context, id, worker string, s store.MessageStatus, at time.Time) error {
	m, ok := r.rows[id]
	if !ok || m.Status != store.Waiting || m.Lease != "" && m.Lease != worker {
		return store.ErrStale
	}
	m.Status, m.Lease, m.To, m.Body = s, "", "", ""
	r.rows[id], r.settled[id] = m, at
	return nil
}

func (r *rows) Postpone(_ context.Context, id, worker string, due time.Time, tried string) error {
	m, ok := r.rows[id]
	if !ok || m.Status != store.Waiting || m.Lease != worker {
		return store.ErrStale
	}
	m.Lease, m.Due, m.Attempts, m.Tried = "", due, m.Attempts+1, tried
	r.rows[id] = m
	return nil
}

func (r *rows) DropSend(_ context.Context, id string) error {
	r.dropped = append(r.dropped, id)
	return nil
}

func (r *rows) SentBy(_ context.Context, id, gateway string) error {
	r.by[id] = gateway
	return nil
}

func (r *rows) Message(_ context.Context, id string) (store.Message, error) {
	m, ok := r.rows[id]
	if !ok {
		return m, store.ErrNotFound
	}
	return m, nil
}

func (r *rows) PutCharge(_ context.Context, c store.Charge) error {
	key := [2]string{c.Message, c.Gateway}
	if old, ok := r.charges[key]; ok {
		c.Sure, c.At = c.Sure || old.Sure, old.At
	}
	r.charges[key] = c
	return nil
}

func (r *rows) Deliver(_ context.Context, message, gateway string, d store.Delivery, _ time.Time) (store.Charge, error) {
	c, ok := r.charges[[2]string{message, gateway}]
	switch {
	case !ok:
		return c, store.ErrNotFound
	case c.Delivery == d || c.Delivery == store.Delivered:
		return c, store.ErrStale
	}
	c.Delivery, c.Sure = d, true
	r.charges[[2]string{message, gateway}] = c
	return c, nil
}

// charged is the ledger: gateway by gateway, with a question mark if it is not sure.
func (r *rows) charged(id string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []string{}
	for key, c := range r.charges {
		if key[0] == id && c.Sure {
			all = append(all, key[1])
		} else if key[0] == id {
			all = append(all, key[1]+"?")
		}
	}
	slices.Sort(all)
	return all
}

func (r *rows) Record(_ context.Context, events ...audit.Event) error {
	r.events = append(r.events, events...)
	return nil
}

func (r *rows) row(id string) store.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rows[id]
}

// carrier is a gateway that does what a test says, try by try; the last word stays.
type carrier struct {
	name  string
	words []error // nil takes the text, hang waits for the caller
	mu    sync.Mutex
	seen  []gateway.Text
	at    []time.Time
}

var (
	errHang = errors.New("hang")
	errDown = fmt.Errorf("no route for %s with %q", number, code) // as a careless carrier might put it
)

func (c *carrier) Name() string { return c.name }

func (c *carrier) Send(ctx context.Context, t gateway.Text) error {
	c.mu.Lock()
	word := c.words[min(len(c.seen), len(c.words)-1)]
	c.seen, c.at = append(c.seen, t), append(c.at, time.Now())
	c.mu.Unlock()
	if word == errHang {
		<-ctx.Done()
		return ctx.Err()
	}
	return word
}

func (c *carrier) tries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

func says(name string, words ...error) *carrier { return &carrier{name: name, words: words} }

// A bench is a worker at work in a bubble of time.
type bench struct {
	*Worker
	rows *rows
	log  *bytes.Buffer
	stop func() // ends Run and waits for it
}

func start(t *testing.T, r *rows, gateways ...*carrier) bench {
	t.Helper()
	return startWith(t, r, func(*Config) {}, gateways...)
}

func startWith(t *testing.T, r *rows, change func(*Config), gateways ...*carrier) bench {
	t.Helper()
	b := bench{rows: r, log: &bytes.Buffer{}}
	keys, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Store: r, Keys: keys, Now: time.Now, Log: slog.New(slog.NewTextHandler(b.log, nil)), Prices: &Prices{}}
	for _, g := range gateways {
		c.Gateways = append(c.Gateways, g)
	}
	change(&c)
	b.Worker = New(c)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { b.Run(ctx); close(ended) }()
	b.stop = func() { end(); <-ended }
	t.Cleanup(b.stop)
	return b
}

// message is one as the engine commits it: in the worker's hands at once.
func (b bench) message(id string) store.Message {
	now := time.Now()
	m := store.Message{
		ID: id, Channel: "sms", To: number, Body: code, Send: "send-" + id, Created: now, NotAfter: now.Add(5 * time.Minute),
		Status: store.Waiting, Due: now.Add(b.Lease()), Lease: b.Name(),
	}
	b.rows.mu.Lock()
	b.rows.rows[id] = m
	b.rows.mu.Unlock()
	return m
}

func TestS81_Verdicts(t *testing.T) {
	refused := fmt.Errorf("landline: %w", gateway.ErrRefused)
	tests := map[string]struct {
		gateways []*carrier
		says     store.MessageStatus // what the waiting request hears
		within   time.Duration
		ends     store.MessageStatus // what the row says in the end
		tries    []int
		dropped  bool
		charged  []string
	}{
		"taken at once":                                  {gateways: []*carrier{says("a", nil)}, says: store.Sent, ends: store.Sent, tries: []int{1}, charged: []string{"a"}},
		"refused by one, taken by the next":              {gateways: []*carrier{says("a", refused), says("b", nil)}, says: store.Sent, ends: store.Sent, tries: []int{1, 1}, charged: []string{"b"}},
		"a number that all refuse is refused":            {gateways: []*carrier{says("a", refused), says("b", refused)}, says: store.Refused, ends: store.Refused, tries: []int{1, 1}},
		"an error is tried again":                        {gateways: []*carrier{says("a", errDown, nil)}, says: store.Sent, within: time.Second, ends: store.Sent, tries: []int{2}, charged: []string{"a"}},
		"three tries, then the next gateway":             {gateways: []*carrier{says("a", errDown), says("b", nil)}, says: store.Sent, within: patience, ends: store.Sent, tries: []int{3, 1}, charged: []string{"b"}},
		"all gateways down":                              {gateways: []*carrier{says("a", errDown)}, says: store.Failed, within: patience, ends: store.Failed, tries: []int{3}, dropped: true},
		"no gateway at all":                              {says: store.Failed, ends: store.Failed, dropped: true},
		"a hanging gateway does not hold the page":       {gateways: []*carrier{says("a", errHang, nil)}, says: store.Waiting, within: patience, ends: store.Sent, tries: []int{2}, charged: []string{"a"}},
		"what hangs for good gives the allowance back":   {gateways: []*carrier{says("a", errHang)}, says: store.Waiting, within: patience, ends: store.Failed, tries: []int{3}, dropped: true, charged: []string{"a?"}},
		"beside a hanging gateway the next is asked":     {gateways: []*carrier{says("a", errHang), says("b", nil)}, says: store.Sent, within: hedge, ends: store.Sent, tries: []int{1, 1}, charged: []string{"a?", "b"}},
		"beside two of them a third":                     {gateways: []*carrier{says("a", errHang), says("b", errHang), says("c", nil)}, says: store.Waiting, within: patience, ends: store.Sent, tries: []int{1, 1, 1}, charged: []string{"a?", "b?", "c"}},
		"one hangs, the others are down":                 {gateways: []*carrier{says("a", errHang, nil), says("b", errDown)}, says: store.Waiting, within: patience, ends: store.Sent, tries: []int{2, 3}, charged: []string{"a"}},
		"one refuses, the other is down":                 {gateways: []*carrier{says("a", errDown), says("b", refused)}, says: store.Refused, within: patience, ends: store.Refused, tries: []int{3, 1}},
		"one refuses, the other hangs":                   {gateways: []*carrier{says("a", refused), says("b", errHang)}, says: store.Waiting, within: patience, ends: store.Refused, tries: []int{1, 3}, charged: []string{"b?"}},
		"errors at both, and it is over after six tries": {gateways: []*carrier{says("a", errDown), says("b", errDown)}, says: store.Failed, within: patience, ends: store.Failed, tries: []int{3, 3}, dropped: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, newRows(), test.gateways...)
				began := time.Now()
				got := b.Deliver(t.Context(), b.message("m1"))
				if got != test.says {
					t.Errorf("the request hears %s, want %s", got, test.says)
				}
				if took := time.Since(began); took > test.within {
					t.Errorf("the request waited %s, want at most %s", took, test.within)
				}
				time.Sleep(time.Minute)
				row := b.rows.row("m1")
				if row.Status != test.ends || row.Lease != "" {
					t.Errorf("the row is %s and held by %q, want %s", row.Status, row.Lease, test.ends)
				}
				if row.Body != "" || row.To != "" {
					t.Error("what was sent is kept")
				}
				for i, g := range test.gateways {
					if g.tries() != test.tries[i] {
						t.Errorf("gateway %s was tried %d times, want %d", g.name, g.tries(), test.tries[i])
					}
					for _, text := range g.seen {
						if text.ID != "m1" || text.To.Reveal() != number || text.Body.Reveal() != code || text.Channel != "sms" {
							t.Errorf("gateway %s was given %+v", g.name, text)
						}
					}
				}
				if dropped := len(b.rows.dropped) == 1 && b.rows.dropped[0] == "send-m1"; dropped != test.dropped {
					t.Errorf("S-36: allowances given back: %q", b.rows.dropped)
				}
				if got := b.rows.charged("m1"); !slices.Equal(got, test.charged) {
					t.Errorf("S-35: charged %q, want %q", got, test.charged)
				}
				wantEvent(t, b.rows.events, test.ends)
			})
		})
	}
}

// wantEvent wants exactly one event, of the right type, that tells the number to nobody (S-71, S-72).
func wantEvent(t *testing.T, events []audit.Event, s store.MessageStatus) {
	t.Helper()
	if len(events) != 1 {
		t.Fatalf("%d events: %+v", len(events), events)
	}
	e := events[0]
	if e.Type != outcomes[s] || e.OK != (s == store.Sent) || e.At.IsZero() || e.Finger == "" {
		t.Errorf("event is %+v, want type %s", e, outcomes[s])
	}
	if all := fmt.Sprintf("%+v", e); strings.Contains(all, number[1:]) || !strings.HasSuffix(e.Target, "0143") {
		t.Errorf("S-72: the event says %s", all)
	}
}

func TestS81_NothingIsSentAfterItsCodeIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := says("a", nil)
		b := start(t, newRows(), a)
		m := b.message("m1")
		m.NotAfter = time.Now()
		if got := b.Deliver(t.Context(), m); got != store.Failed || a.tries() != 0 {
			t.Errorf("%s after %d tries", got, a.tries())
		}
		wantEvent(t, b.rows.events, store.Failed)
	})
}

// A carrier may hold a text back for hours, and has to know when to give it up.
func TestS81_TheGatewayLearnsWhenTheCodeIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := says("a", nil)
		b := start(t, newRows(), a)
		m := b.message("m1")
		if got := b.Deliver(t.Context(), m); got != store.Sent || !a.seen[0].NotAfter.Equal(m.NotAfter) {
			t.Errorf("%s, sent as good until %s, want %s", got, a.seen[0].NotAfter, m.NotAfter)
		}
	})
}

func TestS81_ACrashBetweenCommitAndSendIsPickedUpByAnyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := says("a", nil)
		now := time.Now()
		dead := store.Message{
			ID: "m1", Channel: "sms", To: number, Body: code, NotAfter: now.Add(5 * time.Minute),
			Status: store.Waiting, Due: now.Add(lease), Lease: "wrk-dead",
		}
		b := start(t, newRows(dead), a)
		time.Sleep(lease - time.Millisecond)
		if a.tries() != 0 {
			t.Fatal("sent while another node held it")
		}
		time.Sleep(poll + time.Millisecond)
		if row := b.rows.row("m1"); row.Status != store.Sent || a.tries() != 1 {
			t.Errorf("row %s after %d tries", row.Status, a.tries())
		}
	})
}

func TestS81_ACrashBetweenSendAndSettleSendsTheSameTextAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := says("a", nil)
		r := newRows()
		b := start(t, r, a)
		m := b.message("m1")
		r.mu.Lock()
		r.down = store.ErrUnavailable // the gateway takes it; then nothing can be written
		r.mu.Unlock()
		if got := b.Deliver(t.Context(), m); got != store.Sent {
			t.Fatalf("the request hears %s, want %s: the text is out", got, store.Sent)
		}
		time.Sleep(time.Second)
		r.mu.Lock()
		r.down = nil
		r.mu.Unlock()
		time.Sleep(lease + poll)
		if row := r.row("m1"); row.Status != store.Sent || a.tries() != 2 {
			t.Fatalf("row %s after %d tries", row.Status, a.tries())
		}
		if a.seen[0] != a.seen[1] {
			t.Errorf("not the same text under the same id: %+v", a.seen)
		}
	})
}

func TestSettlingWhatAnotherNodeSettledIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newRows(), says("a", fmt.Errorf("%w", gateway.ErrRefused)))
		m := b.message("m1")
		b.rows.mu.Lock()
		row := b.rows.rows["m1"]
		row.Status, row.Lease = store.Sent, ""
		b.rows.rows["m1"] = row
		b.rows.mu.Unlock()
		if got := b.Deliver(t.Context(), m); got != store.Waiting {
			t.Errorf("the request hears %s, but nothing was given back", got)
		}
		if len(b.rows.dropped)+len(b.rows.events) > 0 {
			t.Errorf("dropped %q, recorded %+v", b.rows.dropped, b.rows.events)
		}
	})
}

func TestS81_BreakerPassesOverAGatewayThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good := says("bad", errHang, errHang, errHang, errHang, errHang, errHang, nil), says("good", nil)
		b := start(t, newRows(), bad, good)
		for i := range enough { // each waits for it once, and goes by the other
			if got := b.Deliver(t.Context(), b.message(fmt.Sprint("slow", i))); got != store.Sent {
				t.Fatal(got)
			}
		}
		synctest.Wait()
		if bad.tries() != enough {
			t.Fatalf("%d tries at the bad gateway, want %d", bad.tries(), enough)
		}
		began := time.Now()
		if got := b.Deliver(t.Context(), b.message("quick")); got != store.Sent || time.Since(began) > 0 {
			t.Errorf("at rest: %s after %s, want %s at once by the other gateway", got, time.Since(began), store.Sent)
		}
		time.Sleep(pause)
		go b.Deliver(t.Context(), b.message("probe")) // one goes to see, and hangs
		synctest.Wait()
		if bad.tries() != enough+1 {
			t.Errorf("%d tries at the bad gateway after its rest, want one more", bad.tries())
		}
		if got := b.Deliver(t.Context(), b.message("during")); got != store.Sent || bad.tries() != enough+1 {
			t.Errorf("while one goes to see, another: %s", got)
		}
		time.Sleep(pause + timeout)
		if got := b.Deliver(t.Context(), b.message("well")); got != store.Sent || bad.tries() != enough+2 {
			t.Errorf("repaired: %s, %d tries at the bad gateway", got, bad.tries())
		}
		if got := b.Deliver(t.Context(), b.message("after")); got != store.Sent || bad.tries() != enough+3 {
			t.Errorf("repaired for good: %s, %d tries", got, bad.tries())
		}
	})
}

func TestForgiveEndsARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := says("a", errDown, errDown, errDown, errDown, errDown, errDown, nil)
		b := start(t, newRows(), a)
		for i := range 2 {
			if got := b.Deliver(t.Context(), b.message(fmt.Sprint(i))); got != store.Failed {
				t.Fatalf("message %d: %s", i, got)
			}
		}
		if got := b.Deliver(t.Context(), b.message("rest")); got != store.Failed || a.tries() != enough {
			t.Fatalf("at rest: %s, %d tries", got, a.tries())
		}
		b.Forgive()
		b.Deliver(t.Context(), b.message("again"))
		if a.tries() == enough {
			t.Error("the gateway was not asked again")
		}
	})
}

func TestS78_StoppingHandsLeasesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newRows(), says("a", errHang))
		go b.Deliver(t.Context(), b.message("m1"))
		synctest.Wait()
		began := time.Now()
		b.stop()
		if took := time.Since(began); took != grace {
			t.Errorf("stopping took %s, want %s", took, grace)
		}
		row := b.rows.row("m1")
		if row.Lease != "" || row.Due.After(time.Now()) || row.Status != store.Waiting {
			t.Errorf("row is %s, held by %q until %s", row.Status, row.Lease, row.Due)
		}
		if got := b.Deliver(t.Context(), b.message("m2")); got != store.Waiting {
			t.Errorf("stopped, and yet %s", got)
		}
		if row := b.rows.row("m2"); row.Lease != "" || row.Due.After(time.Now()) {
			t.Errorf("a message that came too late is held by %q", row.Lease)
		}
	})
}

func TestS78_StoppingLetsARunningSendFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newRows(), says("a", errDown, nil))
		heard := make(chan store.MessageStatus, 1)
		go func() { heard <- b.Deliver(t.Context(), b.message("m1")) }()
		synctest.Wait()
		time.Sleep(time.Second)
		b.stop()
		if got := <-heard; got != store.Sent {
			t.Errorf("the request hears %s", got)
		}
	})
}

func TestTheRequestMayGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newRows(), says("a", errHang, nil))
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		began := time.Now()
		if got := b.Deliver(ctx, b.message("m1")); got != store.Waiting || time.Since(began) != time.Second {
			t.Errorf("%s after %s", got, time.Since(began))
		}
		time.Sleep(time.Minute)
		if row := b.rows.row("m1"); row.Status != store.Sent {
			t.Errorf("the message is %s: it must not go with the request", row.Status)
		}
	})
}

func TestS72_LogsSayNeitherNumberNorText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newRows(), says("a", errDown))
		b.Deliver(t.Context(), b.message("m1"))
		b.stop()
		log := b.log.String()
		if !strings.Contains(log, "no route for") {
			t.Fatalf("the gateway's words are missing from the log:\n%s", log)
		}
		for _, secret := range []string{number, number[1:], code, "246813"} {
			if strings.Contains(log, secret) {
				t.Errorf("the log holds %q:\n%s", secret, log)
			}
		}
	})
}

func TestManyMessagesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3 * batch
		a := says("a", nil)
		r := newRows()
		for i := range n {
			id := fmt.Sprint(i)
			r.rows[id] = store.Message{ID: id, To: number, Body: code, Status: store.Waiting, NotAfter: time.Now().Add(time.Hour), Due: time.Now()}
		}
		start(t, r, a)
		synctest.Wait()
		if a.tries() != n || len(r.settled) != n {
			t.Errorf("%d sent and %d settled of %d", a.tries(), len(r.settled), n)
		}
	})
}
