package engine

import (
	"context"
	"sync"
	"time"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/msg"
)

// Who waits to be hashed is served late, and so is everybody behind them. A crowd that came at once, on a server that
// had nothing to do, may take hashCrowd in all, for then it is through. Once that is more than it can do, the queue
// is kept as long as there are places, so that nobody waits longer than a hash or two take, and new sign-ins
// begin no faster than they can be finished (S-85). Nobody waits longer than hashPatience in any case (S-01).
const (
	hashPatience = 3 * time.Second
	hashCrowd    = time.Second
)

// Beside its hash a sign-in costs about as much again in all its other steps, and sending people away costs something, too:
// of every three hashes that the places could do, one sign-in begins. With one of two the cores were full, and every
// step of everybody was late. Some may begin at the same instant, for people do not come evenly.
const (
	hashesPerBegin = 3
	beginTogether  = 4 // for each place
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
	strict  time.Time     // until then too many come, though nobody may wait at the moment
	next    time.Time     // when somebody may begin, while too many come
	turned  int           // who was sent away since somebody began
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
	if err := h.queue(); err != nil {
		return nil, err
	}
	defer h.unqueue()
	timer := time.NewTimer(hashPatience)
	defer timer.Stop()
	select {
	case h.places <- struct{}{}:
		return h.leaver(), nil
	case <-timer.C:
		return nil, busy("waited %s for a turn to hash", hashPatience)
	case <-ctx.Done():
		return nil, busy("waiting for a turn to hash: %w", ctx.Err())
	}
}

func busy(format string, args ...any) error {
	return fault.New(fault.Unavailable, msg.TooBusy, format, args...).After(2 * time.Second)
}

// queue takes a place in the queue, or says that it is not worth it.
func (h *hashes) queue() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full.IsZero() {
		h.full = time.Now()
	}
	if wait := h.wait(); h.waiting >= cap(h.places) && (h.standing() || wait > hashCrowd) {
		h.sentAway()
		return busy("%d wait already, which takes %s", h.waiting, wait)
	}
	h.waiting++
	return nil
}

func (h *hashes) unqueue() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting--; h.waiting == 0 {
		h.full = time.Time{}
	}
}

// standing reports that this is no crowd that came at once: there has been a queue for longer than one takes, or somebody
// was sent away lately.
func (h *hashes) standing() bool {
	return time.Now().Before(h.strict) || !h.full.IsZero() && time.Since(h.full) > hashCrowd
}

// sentAway remembers that more came than could be served. They all come back together, and find nobody there for a
// moment: were they let in like a crowd that has come for the first time, everybody would wait long again, and
// again. Only when nobody has been sent away for a while is the next crowd a new one.
func (h *hashes) sentAway() { h.strict = time.Now().Add(hashPatience) }

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

// Admit decides whether somebody may begin a sign-in: while too many come, as many as can be finished.
func (e *Engine) Admit() bool { return e.hashes.admit(time.Now()) }

// overloaded reports that more passwords come than can be hashed in time: who is in the middle of a sign-in
// is served, who would begin one is not (S-85).
func (h *hashes) overloaded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.crowded()
}

func (h *hashes) crowded() bool {
	return h.waiting >= cap(h.places) && (h.standing() || h.wait() > hashCrowd/2)
}

// admit lets nobody begin while the queue is full, and otherwise, while too many come, one at a time. How fast follows the
// time that a hash takes: a machine that has too much to do hashes more slowly, and fewer begin.
func (h *hashes) admit(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.crowded() {
		h.sentAway()
		return false
	}
	if !h.standing() {
		return true
	}
	each := hashesPerBegin * h.took / time.Duration(cap(h.places))
	if together := now.Add(-beginTogether * time.Duration(cap(h.places)) * each); h.next.Before(together) {
		h.next = together
	}
	if h.next.After(now) {
		// It goes on while people wait, or come many times as fast as they may begin. Otherwise it may be over, and who
		// is sent away was unlucky.
		if h.turned++; h.waiting > 0 || h.turned > beginTogether {
			h.sentAway()
		}
		return false
	}
	h.turned = 0
	h.next = h.next.Add(each)
	return true
}
