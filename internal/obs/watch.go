package obs

import (
	"time"

	"latchkey.dev/internal/audit"
)

// A Watcher is told what happens, as it happens, to count it. A room that was given none tells nobody, which
// costs a comparison with nil. What comes in as text is one of few: a route's pattern, a gateway's name.
type Watcher interface {
	// Request was answered. The route is the pattern that matched, never a path.
	Request(route, method string, status int, took time.Duration)
	// Transaction has ended, after so many times that it began anew.
	Transaction(write bool, took time.Duration, again int, err error)
	// Recorded says that an event of the audit log is committed.
	Recorded(t audit.Type, ok bool)
	// Sent says what a gateway made of one try to send a message.
	Sent(gateway, outcome string, took time.Duration)
}

// The outcomes of a try.
const (
	Took      = "took"
	Refused   = "refused" // the number gets nothing there
	Failed    = "failed"
	TimedOut  = "timed_out"
	BrokenOff = "broken_off" // another gateway was quicker, or we stopped
)
