package wire

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"latchkey.dev/internal/store"
)

// A Clock is the process's own clock, put right by the database's, which all nodes share (S-82). Without it what
// one node makes for a minute, an interaction code, is over for another that is a minute ahead, and an
// interval between two texts is none.
type Clock struct {
	own   func() time.Time
	store store.DB
	log   *slog.Logger
	ahead atomic.Int64 // of the database's, in nanoseconds
}

// How often the clocks are compared, and from when on they differ: time is to go on evenly, and what lies
// below may as well be the way of the answer.
const (
	compareEvery = 10 * time.Second
	differ       = 250 * time.Millisecond
)

// NewClock goes by own until [Clock.Compare] finds that the database's clock says something else.
func NewClock(own func() time.Time, db store.DB, log *slog.Logger) *Clock {
	return &Clock{own: own, store: db, log: log}
}

// Now is the time for everything that begins and ends.
func (c *Clock) Now() time.Time { return c.own().Add(-time.Duration(c.ahead.Load())) }

// Compare asks the database what time it is.
func (c *Clock) Compare(ctx context.Context) error {
	before := c.own()
	theirs, err := c.store.Now(ctx)
	if err != nil {
		return err
	}
	way := c.own().Sub(before)
	if way < 0 || way > time.Second {
		return nil // it took too long to tell anything, or our clock was set meanwhile
	}
	ahead := before.Add(way / 2).Sub(theirs)
	if now := time.Duration(c.ahead.Load()); (ahead - now).Abs() > differ {
		c.log.WarnContext(ctx, "our clock is not the database's: the database's is used", "ahead", ahead.Round(time.Millisecond))
		c.ahead.Store(int64(ahead))
	}
	return nil
}

// Run compares now and then until ctx ends. While the database is away, what was found last holds.
func (c *Clock) Run(ctx context.Context) {
	tick := time.NewTicker(compareEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = c.Compare(ctx) // whoever needs the database says so
		}
	}
}
