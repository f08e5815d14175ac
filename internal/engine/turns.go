package engine

import (
	"context"
	"sync"
	"time"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/msg"
)

// atOnce is how many proofs of one person are judged at the same time. A proof is counted as a failure before it
// is judged (S-11), so of many right ones sent at the same instant the later would find the limit reached by
// those before. Three on each node stay below ten; the others wait for them.
const atOnce = 3

// turns lets a few at a time do the same thing. It is a courtesy and no limit: it knows this node alone.
type turns struct {
	mu sync.Mutex
	by map[string]*queue
}

type queue struct {
	places chan struct{}
	users  int // who is in it or waits
}

func newTurns() *turns { return &turns{by: map[string]*queue{}} }

// enter waits for a turn at a thing, no longer than a hash may be waited for.
func (t *turns) enter(ctx context.Context, thing string) (leave func(), err error) {
	t.mu.Lock()
	q := t.by[thing]
	if q == nil {
		q = &queue{places: make(chan struct{}, atOnce)}
		t.by[thing] = q
	}
	q.users++
	t.mu.Unlock()

	patience := time.NewTimer(hashPatience)
	defer patience.Stop()
	select {
	case q.places <- struct{}{}:
		return sync.OnceFunc(func() { <-q.places; t.drop(thing, q) }), nil
	case <-patience.C:
		err = fault.New(fault.Unavailable, msg.TooBusy, "waited %s for a turn", hashPatience).After(2 * time.Second)
	case <-ctx.Done():
		err = fault.New(fault.Unavailable, msg.TooBusy, "waiting for a turn: %w", ctx.Err()).After(2 * time.Second)
	}
	t.drop(thing, q)
	return nil, err
}

func (t *turns) drop(thing string, q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(t.by, thing)
	}
}
