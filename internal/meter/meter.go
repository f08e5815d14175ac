// Package meter counts requests, on one node at once and over all nodes when it matters (S-52, S-79).
//
// Counting every request in the database would cost each of them a commit, which is more than most of them cost.
// So a node counts in memory, in windows that begin at the same instants everywhere. Where one database has
// several nodes, each lets a share of the limit pass on its own: a twentieth, or up to five where the limit is
// small. Whoever asks for more is one that the limit may be for, and from then on the node takes shares from the
// database, by one conditional statement, and settles what it had let pass before. So an ordinary person
// costs nothing, and somebody who is after the limit meets it over all nodes together.
//
// What that leaves open, in numbers: a node that was asked for less than its first share has not told anybody, so
// that with n nodes at most n-1 shares more than the limit can pass; and a share that a node took and did not use
// is missing elsewhere until the window ends. Two windows that meet allow twice the limit around the instant
// where they meet, as with the clients' own server. What must be exact, guesses, is not counted here but
// in transactions.
package meter

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// Config is what a meter is made of.
type Config struct {
	Store  store.DB
	Shared bool // other nodes may work on the same database
	Now    func() time.Time
}

// A Meter counts.
type Meter struct {
	Config
	mu      sync.Mutex
	windows map[time.Duration]*window // the present one of each length
}

// New makes a meter on which nothing has been counted.
func New(c Config) *Meter { return &Meter{Config: c, windows: map[time.Duration]*window{}} }

// Forget forgets all that this node has counted.
func (m *Meter) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.windows)
}

// A window is what is counted between two instants. It is thrown away as a whole.
type window struct {
	number int64
	counts map[secret.Digest]*count
}

// Memory is bounded: beyond so many things in a window, those that come new share the counts of a few. They come
// from so many places at once that this is an attack, and who was there before is not touched by it.
const (
	things = 1 << 16
	shared = 1 << 10
)

// A count is that of one thing in one window.
type count struct {
	mu     sync.Mutex
	used   int
	mine   int  // how many this node may let pass
	owed   int  // of those, how many the database does not know of
	closed bool // there are no more for anybody
}

// Count counts one request of a thing of some kind. An error is the database's, and means that nothing more may
// pass (S-77).
func (m *Meter) Count(ctx context.Context, kind, thing string, w limit.Window) (limit.Reading, error) {
	if w.Max <= 0 || w.Per <= 0 {
		return limit.Reading{OK: true}, nil
	}
	now := m.Now()
	number := now.UnixNano() / int64(w.Per)
	ends := time.Unix(0, (number+1)*int64(w.Per))
	what := secret.Digest(sha256.Sum256([]byte(kind + "\x00" + thing)))
	ok, err := m.count(what, number, w).take(func(want int) (given int, err error) {
		err = m.Store.Update(ctx, func(tx store.Tx) error {
			given, err = tx.TakeRequests(ctx, store.Requests{What: what, Window: number, Length: w.Per, Want: want, Max: w.Max, Ends: ends})
			return err
		})
		return given, err
	}, share(w.Max))
	return limit.Reading{OK: ok, Limit: w.Max, Reset: ends.Sub(now)}, err
}

// share is how many a node takes at a time, the first time without asking.
func share(limit int) int { return max(limit/20, min(limit/2, 5), 1) }

func (m *Meter) count(what secret.Digest, number int64, w limit.Window) *count {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.windows[w.Per]
	if now == nil || now.number != number {
		now = &window{number, map[secret.Digest]*count{}}
		m.windows[w.Per] = now
	}
	if len(now.counts) >= things && now.counts[what] == nil {
		what = secret.Digest{0, what[1], what[2] % (shared / 256)}
	}
	c := now.counts[what]
	if c == nil {
		c = &count{mine: w.Max}
		if m.Shared {
			c.mine = share(w.Max)
			c.owed = c.mine
		}
		c.closed = !m.Shared
		now.counts[what] = c
	}
	return c
}

// take lets one pass, or not.
func (c *count) take(more func(want int) (int, error), share int) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used >= c.mine && !c.closed {
		want := c.owed + share
		given, err := more(want)
		if err != nil {
			return false, err
		}
		c.mine += max(given-c.owed, 0)
		c.owed, c.closed = 0, given < want
	}
	if c.used >= c.mine {
		return false, nil
	}
	c.used++
	return true, nil
}
