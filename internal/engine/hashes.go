package engine

import (
	"context"
	"sync"
	"time"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/msg"
)

// How long a sign-in waits for its turn to be hashed (S-01): long when a crowd came at once, for it will be
// through in a moment; briefly once there has been a queue for that long, for then more come than can be
// served, and waiting makes everybody slow and helps nobody (S-85).
const (
	hashPatience = 3 * time.Second
	hashStanding = 500 * time.Millisecond
)

// hashes are the places where passwords are hashed. Turns are given in the order of asking.
type hashes struct {
	places chan struct{}

	mu      sync.Mutex
	waiting int
	took    time.Duration // a hash, lately
	done    int           // since the start
	refused int           // likewise
	full    time.Time     // since when somebody has waited; zero: nobody waits
	strict  time.Time     // until then the queue is kept short, though it may have been empty for a moment
}

func newHashes(n int) *hashes { return &hashes{places: make(chan struct{}, n)} }

// enter waits for a place. Who would wait too long is told at once.
func (h *hashes) enter(ctx context.Context) (leave func(), err error) {
	if leave, err = h.await(ctx); err != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.refused++
	}
	return leave, err
}

func (h *hashes) await(ctx context.Context) (leave func(), err error) {
	select {
	case h.places <- struct{}{}:
		return h.leaver(), nil
	default:
	}
	patience, err := h.queue()
	if err != nil {
		return nil, err
	}
	defer h.unqueue()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case h.places <- struct{}{}:
		return h.leaver(), nil
	case <-timer.C:
		return nil, busy("waited %s for a turn to hash", patience)
	case <-ctx.Done():
		return nil, busy("waiting for a turn to hash: %w", ctx.Err())
	}
}

func busy(format string, args ...any) error {
	return fault.New(fault.Unavailable, msg.TooBusy, format, args...).After(2 * time.Second)
}

// queue takes a place in the queue and says how long it may be kept, or that it is not worth it.
func (h *hashes) queue() (time.Duration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full.IsZero() {
		h.full = time.Now()
	}
	patience := h.patience()
	if wait := h.wait(); wait > patience {
		h.standing(patience)
		return 0, busy("%d wait already, which takes %s", h.waiting, wait)
	}
	h.waiting++
	return patience, nil
}

func (h *hashes) unqueue() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting--; h.waiting == 0 {
		h.full = time.Time{}
	}
}

// patience is what there is of it now. A hash or two must always fit into it.
func (h *hashes) patience() time.Duration {
	if (h.full.IsZero() || time.Since(h.full) < hashPatience) && !time.Now().Before(h.strict) {
		return hashPatience
	}
	return min(hashPatience, max(hashStanding, 4*h.took))
}

// standing remembers that somebody was sent away from a queue that stands. All who were come back together, and find
// it empty for a moment: were they let in like a crowd that has come for the first time, everybody would wait long
// again, and again. Only when nobody has been sent away for a while is the next crowd a new one.
func (h *hashes) standing(patience time.Duration) {
	if patience < hashPatience {
		h.strict = time.Now().Add(hashPatience)
	}
}

// wait is how long a newcomer would stand in the queue.
func (h *hashes) wait() time.Duration {
	return h.took * time.Duration(h.waiting+1) / time.Duration(cap(h.places))
}

// leaver gives the place back, and learns how long a hash takes.
func (h *hashes) leaver() func() {
	began := time.Now()
	return func() {
		<-h.places
		h.mu.Lock()
		defer h.mu.Unlock()
		h.done++
		if took := time.Since(began); h.took == 0 {
			h.took = took
		} else {
			h.took += (took - h.took) / 8
		}
	}
}

// Hashing is how busy the places are where passwords are hashed, for whoever watches.
type Hashing struct {
	Places, Running, Waiting int // now
	Done, Refused            int // since the start
}

// Hashing tells it.
func (e *Engine) Hashing() Hashing {
	h := e.hashes
	h.mu.Lock()
	defer h.mu.Unlock()
	return Hashing{Places: cap(h.places), Running: len(h.places), Waiting: h.waiting, Done: h.done, Refused: h.refused}
}

// Overloaded reports that nobody should begin a sign-in now.
func (e *Engine) Overloaded() bool { return e.hashes.overloaded() }

// overloaded reports that more passwords come than can be hashed in time: who is in the middle of a sign-in
// is served, who would begin one is not (S-85).
func (h *hashes) overloaded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waiting > 0 && (h.wait() > h.patience()/2 || time.Since(h.full) > hashPatience)
}
