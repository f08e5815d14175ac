package server

import (
	"context"
	"sync"
	"time"
)

// A limited context ends at a time, and sets a timer for it only when somebody listens. Much is answered
// from memory before anybody does, and setting a timer wakes the scheduler up: for a cached answer that
// would cost more than the rest of the house.
type limited struct {
	context.Context
	until time.Time

	mu     sync.Mutex
	armed  context.Context
	cancel context.CancelFunc
}

func withDeadline(ctx context.Context, d time.Duration) *limited {
	return &limited{Context: ctx, until: time.Now().Add(d)}
}

// arm returns the context with the timer.
func (l *limited) arm() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.armed == nil {
		l.armed, l.cancel = context.WithDeadline(l.Context, l.until)
	}
	return l.armed
}

// end lets go of the timer, if there is one.
func (l *limited) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
}

func (l *limited) Deadline() (time.Time, bool) { return l.until, true }

func (l *limited) Done() <-chan struct{} { return l.arm().Done() }

func (l *limited) Err() error {
	l.mu.Lock()
	armed := l.armed
	l.mu.Unlock()
	switch {
	case armed != nil:
		return armed.Err()
	case l.Context.Err() != nil:
		return l.Context.Err()
	case !time.Now().Before(l.until):
		return context.DeadlineExceeded
	}
	return nil
}

// Value asks the context with the timer where there is one: that is how contexts made from this one find
// what to wait for without a goroutine.
func (l *limited) Value(key any) any {
	l.mu.Lock()
	armed := l.armed
	l.mu.Unlock()
	if armed != nil {
		return armed.Value(key)
	}
	return l.Context.Value(key)
}
