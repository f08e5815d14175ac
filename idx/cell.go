package idx

import (
	"context"
	"sync/atomic"
)

// A cell keeps one fetched value. One caller fetches, the others wait for it or for their own context; a failure is
// told to the one who fetched, and the next in line tries again.
type cell[T any] struct {
	turn  chan struct{}
	value *atomic.Pointer[T]
}

func newCell[T any]() cell[T] {
	return cell[T]{turn: make(chan struct{}, 1), value: new(atomic.Pointer[T])}
}

// get returns the value if it is fresh, else fetches it. fresh may be asked twice.
func (c cell[T]) get(ctx context.Context, fresh func(T) bool, fetch func() (T, error)) (T, error) {
	if v := c.value.Load(); v != nil && fresh(*v) {
		return *v, nil
	}
	var zero T
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return zero, ctx.Err()
	}
	if v := c.value.Load(); v != nil && fresh(*v) {
		return *v, nil
	}
	v, err := fetch()
	if err != nil {
		return zero, err
	}
	c.value.Store(&v)
	return v, nil
}
