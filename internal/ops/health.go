package ops

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"latchkey.dev/internal/store"
)

// The numbers of S-80 and S-82: between two looks, for one look, how old the last one may be, and how far our
// clock may be off the database's. A database that has gone is noticed within every + patience.
const (
	every    = time.Second
	patience = 2 * time.Second
	stale    = 4 * time.Second
	skewed   = 30 * time.Second
)

// Health knows whether requests may be sent to this process. [Health.Run] must run.
type Health struct {
	store store.DB
	now   func() time.Time
	last  atomic.Pointer[look]
}

// A look is what was found at one time.
type look struct {
	at   time.Time // by the process's own clock
	why  []string  // what is wrong
	skew time.Duration
}

// NewHealth looks for the first time when it runs; until then nothing is ready.
func NewHealth(db store.DB, now func() time.Time) *Health { return &Health{store: db, now: now} }

// Run looks every second until ctx ends; from then on nothing is ready.
func (h *Health) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		found := h.look(ctx)
		if ctx.Err() != nil {
			break
		}
		h.last.Store(&found)
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	h.last.Store(&look{at: time.Now(), why: []string{"stopping"}})
}

// look asks the database for something that is always there, and for the time.
func (h *Health) look(ctx context.Context) look {
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	l := look{}
	before := h.now()
	theirs, err := h.store.Now(ctx)
	if err == nil {
		half := h.now().Sub(before) / 2 // the answer was as long on its way back
		l.skew = before.Add(half).Sub(theirs)
		err = h.store.View(ctx, func(tx store.Tx) error {
			_, err := tx.OrgID(ctx)
			return err
		})
	}
	if err != nil {
		l.why = append(l.why, fmt.Sprintf("the database does not answer: %v", err))
	}
	if l.skew.Abs() > skewed {
		l.why = append(l.why, fmt.Sprintf("our clock is %s off the database's", l.skew.Round(time.Millisecond)))
	}
	l.at = time.Now()
	return l
}

// Why says what is wrong; nothing if we are ready.
func (h *Health) Why() []string {
	l := h.last.Load()
	switch {
	case l == nil:
		return []string{"starting"}
	case len(l.why) == 0 && time.Since(l.at) > stale:
		return []string{fmt.Sprintf("the database has not answered for %s", time.Since(l.at).Round(time.Second))}
	}
	return l.why
}

// Ready reports whether nothing is wrong.
func (h *Health) Ready() bool { return len(h.Why()) == 0 }

// Skew is how far our clock was ahead of the database's at the last look.
func (h *Health) Skew() time.Duration {
	if l := h.last.Load(); l != nil {
		return l.skew
	}
	return 0
}
