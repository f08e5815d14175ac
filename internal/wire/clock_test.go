package wire

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"latchkey.dev/internal/store"
)

// A dial is a database of which nothing is wanted but the time.
type dial struct {
	store.DB
	time time.Time
	away error
}

func (d *dial) Now(context.Context) (time.Time, error) { return d.time, d.away }

func TestS82_NodesAgreeOnTheTime(t *testing.T) {
	db := &dial{time: now}
	for _, ahead := range []time.Duration{0, time.Minute, -time.Minute, time.Hour, 100 * time.Millisecond} {
		c := NewClock(func() time.Time { return now.Add(ahead) }, db, slog.New(slog.DiscardHandler))
		if err := c.Compare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if off := c.Now().Sub(now).Abs(); off > differ {
			t.Errorf("a node that is %s ahead is still %s off", ahead, off)
		}
	}
}

func TestS82_ADatabaseThatIsAwayLeavesTheTimeAsItWas(t *testing.T) {
	db := &dial{time: now}
	c := NewClock(func() time.Time { return now.Add(time.Minute) }, db, slog.New(slog.DiscardHandler))
	if err := c.Compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.away = errors.New("away")
	if err := c.Compare(t.Context()); err == nil || !c.Now().Equal(now) {
		t.Errorf("it is %s, error %v", c.Now(), err)
	}
}

func TestS82_AnAnswerThatTookLongSaysNothing(t *testing.T) {
	own := now
	c := NewClock(func() time.Time { own = own.Add(3 * time.Second); return own }, &dial{time: now.Add(-time.Hour)}, slog.New(slog.DiscardHandler))
	if err := c.Compare(t.Context()); err != nil || c.ahead.Load() != 0 {
		t.Errorf("it is off by %s, error %v", time.Duration(c.ahead.Load()), err)
	}
}
