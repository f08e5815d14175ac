// Package deliver sees messages out of the house.
//
// A message is an outbox row, written in the commit that caused it, so it is neither lost nor invented
// by a crash. A [Worker] hands it to the gateways: the request that wrote it by [Worker.Deliver], which
// waits a moment for the verdict so that a person learns of a number that gets nothing; everything else
// (a second try, what a dead node left behind) by [Worker.Run]. How the gateways are asked is in race.go, in
// which order in route.go. Each race holds a short lease on the row and what it learns is stored, so any node
// can go on where another stopped; what was taken goes into the ledger with it. What carriers report later
// comes in by [Worker.Report]. What a message says, and whether it may be sent, was decided before it came here.
package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// The numbers of S-81.
const (
	timeout  = 5 * time.Second         // for one try at one gateway
	most     = 3                       // tries at one gateway: one and two more
	hedge    = 1500 * time.Millisecond // after so long without an answer the next gateway is asked, too
	course   = 10 * time.Second        // of one race
	patience = 2 * time.Second         // of the request that caused the message
	lease    = course + 5*time.Second
	poll     = 2 * time.Second // how often we look for what others left behind
	grace    = 2 * time.Second // for tries under way when we stop
	batch    = 16              // rows taken in hand at once
)

// The channels.
const (
	sms   = "sms"
	email = "email"
)

// Config is what a worker is made of.
type Config struct {
	Store    store.DB
	Keys     *secret.Keys      // for the numbers in audit events (S-72), and the addresses of reports
	Gateways []gateway.Gateway // for text messages
	Mail     []gateway.Gateway // for e-mail; there may be none
	Routes   Routes            // zero asks all gateways in the order of the list
	Prices   *Prices           // of the ledger; nil keeps none
	Reports  string            // https://id.example, where carriers may report; empty asks for no reports
	Now      func() time.Time
	Log      *slog.Logger
	Watch    obs.Watcher // nil tells nobody
}

// A Worker hands messages to gateways and settles their rows.
type Worker struct {
	Config
	name  string
	lanes []*lane
	mail  []*lane
	wake  chan struct{}

	quit   context.Context // ends tries that outlive the grace
	cancel context.CancelFunc

	mu       sync.Mutex
	stopped  bool
	inHand   sync.WaitGroup
	verdicts map[string]chan store.MessageStatus // by message, of the requests that wait
}

// New makes a worker. It sends what it is given at once; [Worker.Run] does the rest.
func New(c Config) *Worker {
	w := &Worker{
		Config:   c,
		name:     ident.NewID("wrk"),
		wake:     make(chan struct{}, 1),
		verdicts: map[string]chan store.MessageStatus{},
	}
	w.quit, w.cancel = context.WithCancel(context.Background())
	for _, g := range c.Gateways {
		w.lanes = append(w.lanes, &lane{Gateway: g})
	}
	for _, g := range c.Mail {
		w.mail = append(w.mail, &lane{Gateway: g})
	}
	return w
}

// Name is the holder of this worker's leases.
func (w *Worker) Name() string { return w.name }

// Lease is how long a row that is committed for this worker is in its hands: one race and its bookkeeping.
func (w *Worker) Lease() time.Duration { return lease }

// Deliver hands over a message that was just committed with this worker's lease, and returns its status
// after at most two seconds: Waiting if it is still unknown. Sending goes on after that, and after ctx.
func (w *Worker) Deliver(ctx context.Context, m store.Message) store.MessageStatus {
	verdict := make(chan store.MessageStatus, 1)
	w.mu.Lock()
	w.verdicts[m.ID] = verdict
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.verdicts, m.ID)
		w.mu.Unlock()
	}()
	w.begin(context.WithoutCancel(ctx), m)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case s := <-verdict:
		return s
	case <-late.C:
	case <-ctx.Done():
	}
	return store.Waiting
}

// Run takes due messages in hand until ctx ends, then lets the tries under way finish for a moment and
// hands back what is left (S-78).
func (w *Worker) Run(ctx context.Context) {
	look := time.NewTicker(poll)
	defer look.Stop()
	for ctx.Err() == nil {
		w.collect(ctx)
		select {
		case <-ctx.Done():
		case <-look.C:
		case <-w.wake:
		}
	}
	w.stop()
}

// Forgive forgets which gateways failed lately. An operator who repaired one need not wait.
func (w *Worker) Forgive() {
	for _, l := range slices.Concat(w.lanes, w.mail) {
		l.rest.forgive()
		l.arrival.forgive()
	}
}

// collect takes everything in hand that is due now.
func (w *Worker) collect(ctx context.Context) {
	for {
		var due []store.Message
		err := w.Store.Update(ctx, func(tx store.Tx) (err error) {
			now := w.Now()
			due, err = tx.LeaseMessages(ctx, w.name, now, now.Add(lease), batch)
			return err
		})
		if err != nil {
			if ctx.Err() == nil {
				w.Log.ErrorContext(ctx, "looking for messages to send", "error", err)
			}
			return
		}
		for _, m := range due {
			w.begin(context.WithoutCancel(ctx), m)
		}
		if len(due) < batch {
			return
		}
	}
}

// begin starts a try, unless we are stopping: then somebody else does it.
func (w *Worker) begin(ctx context.Context, m store.Message) {
	w.mu.Lock()
	stopped := w.stopped
	if !stopped {
		w.inHand.Go(func() { w.attempt(ctx, m) })
	}
	w.mu.Unlock()
	if stopped {
		w.postpone(ctx, m, w.Now(), result{tried: triesOf(m.Tried)})
	}
}

// attempt runs one race and keeps what came of it.
func (w *Worker) attempt(ctx context.Context, m store.Message) {
	r := w.run(ctx, m)
	switch r.status {
	case store.Waiting:
		wait := backoff(1)
		if w.quit.Err() != nil {
			wait = 0
		}
		w.postpone(ctx, m, w.Now().Add(wait), r)
		time.AfterFunc(wait, w.nudge)
	case store.Sent: // the request knows already
		w.settle(ctx, m, r)
	default:
		// The allowance is given back in the same commit, so the person may be told only after it.
		if w.settle(ctx, m, r) {
			w.tell(m.ID, r.status)
		}
	}
}

// settle gives the row its final status, and the allowance back if the gateways failed (S-36, S-81). A
// number that they refuse has used it: otherwise whoever has one account could ask a carrier about any
// number there is, without end.
func (w *Worker) settle(ctx context.Context, m store.Message, r result) bool {
	ctx, done := context.WithTimeout(ctx, timeout)
	defer done()
	err := w.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Settle(ctx, m.ID, w.name, r.status, w.Now()); err != nil {
			return err
		}
		if err := w.enter(ctx, tx, m, r); err != nil {
			return err
		}
		switch {
		case m.Send == "":
		case r.status == store.Failed:
			if err := tx.DropSend(ctx, m.Send); err != nil {
				return err
			}
		case r.status == store.Sent && len(w.route(m.Channel, m.Country)) > 1:
			if err := tx.SentBy(ctx, m.Send, r.took[0].Name()); err != nil {
				return err
			}
		}
		return tx.Record(ctx, w.event(ctx, m, r))
	})
	if err != nil {
		// After the lease somebody tries again, with the same id and so the same text.
		w.Log.ErrorContext(ctx, "settling a message", "message", m.ID, "status", string(r.status), "error", err, obs.Attrs(ctx))
	}
	return err == nil
}

// enter writes the ledger: who took the message, and who may have.
func (w *Worker) enter(ctx context.Context, tx store.Tx, m store.Message, r result) error {
	if w.Prices == nil || m.Channel != sms {
		return nil
	}
	for i, l := range slices.Concat(r.took, r.unsure) {
		if err := tx.PutCharge(ctx, w.charge(m, l, i < len(r.took))); err != nil {
			return err
		}
	}
	return nil
}

// postpone lets go of the row until due, one race further.
func (w *Worker) postpone(ctx context.Context, m store.Message, due time.Time, r result) {
	ctx, done := context.WithTimeout(ctx, timeout)
	defer done()
	err := w.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Postpone(ctx, m.ID, w.name, due, r.tried.String()); err != nil {
			return err
		}
		return w.enter(ctx, tx, m, r)
	})
	if err != nil {
		w.Log.ErrorContext(ctx, "handing a message back", "message", m.ID, "error", err, obs.Attrs(ctx))
	}
}

func (w *Worker) event(ctx context.Context, m store.Message, r result) audit.Event {
	number := w.Keys.MAC(secret.MACPhone, m.To.Reveal())
	return audit.Event{
		Type:   outcomes[r.status],
		At:     w.Now(),
		OK:     r.status == store.Sent,
		Reason: r.reason,
		Target: masked(m.To),
		Finger: fmt.Sprintf("%x", number[:8]),
		Source: obs.SourceOf(ctx),
	}
}

var outcomes = map[store.MessageStatus]audit.Type{
	store.Sent:    audit.MessageSent,
	store.Refused: audit.MessageRefused,
	store.Failed:  audit.MessageFailed,
}

// tell answers the request that waits, if one does.
func (w *Worker) tell(id string, s store.MessageStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if waiting, ok := w.verdicts[id]; ok {
		select {
		case waiting <- s:
		default:
		}
	}
}

func (w *Worker) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// stop waits for the tries under way, breaks off those that take long, and returns when no row is held.
func (w *Worker) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	late := time.AfterFunc(grace, w.cancel)
	w.inHand.Wait()
	late.Stop()
	w.cancel()
}

// masked shows the end of a number (S-37), and of an e-mail address where it leads.
func masked(number secret.Text) string {
	n := number.Reveal()
	if at := strings.LastIndexByte(n, '@'); at >= 0 {
		return "X" + n[at:]
	}
	shown := max(0, len(n)-4)
	return strings.Repeat("X", shown) + n[shown:]
}

// quote says what a gateway said, without the number and the text should it have repeated them (S-72).
func quote(err error, m store.Message) string {
	said := err.Error()
	if body := m.Body.Reveal(); body != "" {
		said = strings.ReplaceAll(said, body, "[redacted]")
	}
	if bare := strings.TrimPrefix(m.To.Reveal(), "+"); bare != "" { // some carriers drop the plus
		said = strings.ReplaceAll(said, bare, masked(secret.Text(bare)))
	}
	return said
}
