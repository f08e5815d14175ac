package deliver

import (
	"sync"
	"time"

	"latchkey.dev/internal/gateway"
)

// A lane is a gateway and what we learned about it.
type lane struct {
	gateway.Gateway
	rest    breaker // it does not take messages
	arrival breaker // what it takes does not arrive
}

// The numbers of a breaker.
const (
	enough = 5                // failures in a row before a gateway rests
	pause  = 30 * time.Second // how long it rests
)

// A breaker keeps messages from a gateway that failed every time lately, so that they go to the next one
// at once instead of waiting for one more timeout. After the pause one message is let through to see.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // rests until then
}

// allow reports whether a message may go through now.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < enough {
		return true
	}
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(pause) // this one goes to see; the others stay out
	return true
}

// open reports whether messages are kept out now.
func (b *breaker) open(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures >= enough && now.Before(b.until)
}

func (b *breaker) failed(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures++; b.failures >= enough {
		b.until = now.Add(pause)
	}
}

func (b *breaker) worked() { b.forgive() }

func (b *breaker) forgive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}
