// Package deliver sees messages out of the house.
//
// A message is an outbox row, written in the commit that caused it, so it is neither lost nor invented
// by a crash. A [Worker] hands it to the gateways: the request that wrote it by [Worker.Deliver], which
// waits a moment for the verdict so that a person learns of a number that gets nothing; everything else
// (a second try, what a dead node left behind) by [Worker.Run]. Each try holds a short lease on the row
// and what it learns is stored, so any node can go on where another stopped. What a message says, and
// whether it may be sent, was decided before it came here.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	timeout  = 5 * time.Second // for one try at one gateway
	tries    = 3               // at one gateway: one and two more
	patience = 2 * time.Second // of the request that caused the message
	lease    = timeout + 5*time.Second
	poll     = 2 * time.Second // how often we look for what others left behind
	grace    = 2 * time.Second // for tries under way when we stop
	batch    = 16              // rows taken in hand at once
)

// Config is what a worker is made of.
type Config struct {
	Store    store.DB
	Keys     *secret.Keys      // for the numbers in audit events (S-72)
	Gateways []gateway.Gateway // in the order in which they are tried
	Now      func() time.Time
	Log      *slog.Logger
}

// A Worker hands messages to gateways and settles their rows.
type Worker struct {
	Config
	name  string
	lanes []*lane
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
	return w
}

// Name is the holder of this worker's leases.
func (w *Worker) Name() string { return w.name }

// Lease is how long a row that is committed for this worker is in its hands: one try and its bookkeeping.
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
	for _, l := range w.lanes {
		l.rest.forgive()
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
		w.handBack(ctx, m, w.Now())
	}
}

// attempt tries once and keeps what came of it.
func (w *Worker) attempt(ctx context.Context, m store.Message) {
	status, reason := w.try(ctx, m)
	switch status {
	case store.Waiting:
		pause := backoff(m.Attempts)
		if w.quit.Err() != nil {
			pause = 0
		}
		w.handBack(ctx, m, w.Now().Add(pause))
		time.AfterFunc(pause, w.nudge)
	case store.Sent:
		w.tell(m.ID, status) // nobody need wait for our bookkeeping
		w.settle(ctx, m, status, reason)
	default:
		// The allowance is given back in the same commit, so the person may be told only after it.
		if w.settle(ctx, m, status, reason) {
			w.tell(m.ID, status)
		}
	}
}

// try hands the message to the gateway whose turn it is. Waiting means: try again.
func (w *Worker) try(ctx context.Context, m store.Message) (store.MessageStatus, string) {
	if !w.Now().Before(m.NotAfter) {
		return store.Failed, "too late" // the code in it is dead
	}
	l := w.lane(m.Attempts)
	if l == nil {
		return store.Failed, "no gateway left"
	}
	send, done := context.WithTimeout(ctx, timeout)
	defer done()
	defer context.AfterFunc(w.quit, done)()
	err := l.Send(send, gateway.Text{ID: m.ID, Channel: m.Channel, To: m.To, Body: m.Body, NotAfter: m.NotAfter})
	switch {
	case err == nil:
		l.rest.worked()
		return store.Sent, l.Name()
	case errors.Is(err, gateway.ErrRefused):
		l.rest.worked() // it answered; the number is at fault
		return store.Refused, l.Name()
	case w.quit.Err() != nil:
		return store.Waiting, "stopping" // we broke it off, which says nothing of the gateway
	}
	l.rest.failed(time.Now())
	w.Log.WarnContext(ctx, "a gateway did not take a message", "gateway", l.Name(), "message", m.ID,
		"try", m.Attempts+1, "error", quote(err, m), obs.Attrs(ctx))
	if m.Attempts+1 >= tries*len(w.lanes) {
		return store.Failed, l.Name()
	}
	return store.Waiting, l.Name()
}

// lane returns the gateway for a try, passing over those at rest; nil if none is left.
func (w *Worker) lane(attempts int) *lane {
	for i := attempts / tries; i < len(w.lanes); i++ {
		if w.lanes[i].rest.allow(time.Now()) {
			return w.lanes[i]
		}
	}
	return nil
}

// backoff is the pause before the next try: two short ones at one gateway, none before the next gateway.
// Half of it is chance, so that what failed together does not come back together.
func backoff(attempts int) time.Duration {
	switch attempts % tries {
	case 0:
		return 100*time.Millisecond + rand.N(100*time.Millisecond)
	case 1:
		return 300*time.Millisecond + rand.N(300*time.Millisecond)
	}
	return 0
}

// settle gives the row its final status, and the allowance back if the gateways failed (S-36, S-81). A
// number that they refuse has used it: otherwise whoever has one account could ask a carrier about any
// number there is, without end.
func (w *Worker) settle(ctx context.Context, m store.Message, s store.MessageStatus, reason string) bool {
	ctx, done := context.WithTimeout(ctx, timeout)
	defer done()
	err := w.Store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Settle(ctx, m.ID, w.name, s, w.Now()); err != nil {
			return err
		}
		if s == store.Failed && m.Send != "" {
			if err := tx.DropSend(ctx, m.Send); err != nil {
				return err
			}
		}
		return tx.Record(ctx, w.event(ctx, m, s, reason))
	})
	if err != nil {
		// After the lease somebody tries again, with the same id and so the same text.
		w.Log.ErrorContext(ctx, "settling a message", "message", m.ID, "status", string(s), "error", err, obs.Attrs(ctx))
	}
	return err == nil
}

// handBack lets go of the row until due, one try further.
func (w *Worker) handBack(ctx context.Context, m store.Message, due time.Time) {
	ctx, done := context.WithTimeout(ctx, timeout)
	defer done()
	err := w.Store.Update(ctx, func(tx store.Tx) error { return tx.Postpone(ctx, m.ID, w.name, due, m.Tried) })
	if err != nil {
		w.Log.ErrorContext(ctx, "handing a message back", "message", m.ID, "error", err, obs.Attrs(ctx))
	}
}

func (w *Worker) event(ctx context.Context, m store.Message, s store.MessageStatus, reason string) audit.Event {
	number := w.Keys.MAC(secret.MACPhone, m.To.Reveal())
	return audit.Event{
		Type:   outcomes[s],
		At:     w.Now(),
		OK:     s == store.Sent,
		Reason: reason,
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

// masked shows the end of a number (S-37).
func masked(number secret.Text) string {
	n := number.Reveal()
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
