package dev

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A Clock runs like the real one, some way ahead of it or behind, so that a test need not wait for a code to
// expire. The zero value is the real time.
type Clock struct{ ahead atomic.Int64 }

// Now is the time by this clock.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance moves the clock on, or back.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// Set makes it be t now.
func (c *Clock) Set(t time.Time) { c.ahead.Store(int64(time.Until(t))) }

// Reset makes it the real time again.
func (c *Clock) Reset() { c.ahead.Store(0) }

// reach is how far a clock may be set: beyond a century the arithmetic of times ends.
const reach = 100 * 365 * 24 * time.Hour

// within refuses what lies out of reach.
func within(d time.Duration) error {
	if d.Abs() > reach {
		return fmt.Errorf("%s is out of reach", d)
	}
	return nil
}
