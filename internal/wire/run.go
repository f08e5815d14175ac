package wire

import (
	"context"
	"errors"
	"sync"
	"time"

	"latchkey.dev/internal/store"
)

// How often expired rows are looked for, how many are removed at once (S-86), and how long they are kept
// beyond their end: long enough to tell a code that was replayed from one that nobody made.
const (
	sweepEvery = time.Minute
	sweepBatch = 500
	sweepAfter = time.Hour

	rotateEvery = time.Hour
	sealEvery   = time.Hour // of the audit log (S-73)

	tellEvery = time.Second // that sessions ended; it looks into one small table

	followEvery = 2 * time.Second // well within the 30 s of S-79; it reads one row
)

// Run does what goes on beside the requests, until ctx ends: messages, sweeping, key rotation. It returns
// when all of it has stopped and no message is held any more.
func (h *House) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { h.Worker.Run(ctx) })
	all.Go(func() { h.every(ctx, sweepEvery, "sweeping", h.sweep) })
	all.Go(func() { h.every(ctx, tellEvery, "telling of logouts", h.sessions.Tell) })
	all.Go(func() { h.every(ctx, rotateEvery, "rotating keys", h.rotate) })
	all.Go(func() { h.every(ctx, sealEvery, "keeping the audit log", h.trail.Keep) })
	if keys, ok := h.store.(store.MasterKeys); ok {
		all.Go(func() { h.follow(ctx, keys) })
	}
	all.Wait()
}

func (h *House) every(ctx context.Context, d time.Duration, what string, do func(context.Context) error) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			h.log.ErrorContext(ctx, what, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *House) sweep(ctx context.Context) error {
	sweeper, ok := h.store.(store.Sweeper)
	if !ok {
		return errors.New("this database cannot be swept")
	}
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = sweeper.Sweep(ctx, h.now().Add(-sweepAfter), sweepBatch); err != nil {
			return err
		}
	}
	return nil
}

// follow seals with the master key that the operator chose, and says goodbye at the end, so that nobody waits
// for this node to follow.
func (h *House) follow(ctx context.Context, keys store.MasterKeys) {
	h.every(ctx, followEvery, "following the master keys", func(ctx context.Context) error { return keys.Follow(ctx, h.node) })
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer end()
	if err := keys.Leave(ctx, h.node); err != nil {
		h.log.WarnContext(ctx, "leaving; in a minute it is noticed", "error", err)
	}
}

func (h *House) rotate(ctx context.Context) error {
	due, err := h.ring.Due(ctx)
	if err != nil || !due {
		return err
	}
	return h.ring.Rotate(ctx)
}
