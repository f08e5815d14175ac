// Package trail keeps the audit log: it seals, trims, exports and checks what other rooms record.
//
// The log is a hash chain ([audit.Link]) that nobody stores: it follows from the events in their order. Once an
// hour [Keeper.Seal] writes down where it stands, with a MAC under a key that the database does not hold. So a
// chain can be walked from the last hour on, what is older than the retention can be removed ([Keeper.Trim])
// while the rest stays provable, and whoever changes the database changes it under seals that they cannot make.
package trail

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

const (
	every  = time.Hour        // between two seals
	early  = 10 * time.Minute // a node whose hour is nearly over need not wait
	skew   = 2 * time.Minute  // how far the clocks of two nodes may be apart (S-82), and then some
	page   = 500              // events read at once
	bundle = 200              // events removed at once (S-86)
)

// Config is what a keeper is made of.
type Config struct {
	Store     store.DB
	Keys      *secret.Keys
	Now       func() time.Time
	Retention time.Duration // how long events are kept; 0 is for good
	Log       *slog.Logger
}

// A Keeper keeps the log of one database.
type Keeper struct{ Config }

// New makes a keeper.
func New(c Config) *Keeper { return &Keeper{c} }

// ErrForged is a seal in the database that this master key did not make.
var ErrForged = errors.New("trail: a seal in the database is not of this master key: somebody wrote into it, or it is another database's")

// Vouch reports whether a seal was made with our master key.
func (k *Keeper) Vouch(s audit.Seal) bool {
	mac := k.mac(s)
	return hmac.Equal(s.MAC[:], mac[:])
}

func (k *Keeper) mac(s audit.Seal) audit.Hash {
	return audit.Hash(k.Keys.MAC(secret.MACAudit, s.Parts()...))
}

// sign makes a seal of where the chain stands now.
func (k *Keeper) sign(l audit.Link) audit.Seal {
	s := audit.Seal{Link: l, At: k.Now().UTC().Truncate(time.Microsecond)}
	s.MAC = k.mac(s)
	return s
}

// Keep does what is due: it seals, and then trims.
func (k *Keeper) Keep(ctx context.Context) error {
	if err := k.Seal(ctx); err != nil {
		return err
	}
	return k.Trim(ctx)
}

// Seal writes down where the chain stands, unless somebody did within the hour or nothing happened since.
func (k *Keeper) Seal(ctx context.Context) error {
	last, err := k.seal(ctx, math.MaxInt64)
	if err != nil {
		return err
	}
	if age := k.Now().Sub(last.At); last.Seq > 0 && age >= 0 && age < every-early {
		return nil
	}
	stands, err := k.walk(ctx, last.Link, math.MaxInt64, nil)
	if err != nil || stands.Seq == last.Seq {
		return err
	}
	s := k.sign(stands)
	return k.Store.Update(ctx, func(tx store.Tx) error { return tx.AddSeal(ctx, s) })
}

// Trim removes what is older than the retention, a few events at a time, and nothing that is younger: it cuts
// at a seal that was made before then. The removal is an event itself, written before the first one goes.
func (k *Keeper) Trim(ctx context.Context) error {
	if k.Retention <= 0 {
		return nil
	}
	trimmed, cut, err := k.cut(ctx)
	if err != nil || cut.Seq == 0 {
		return err
	}
	if cut.Seq > trimmed.Seq && !k.Vouch(cut) {
		return ErrForged // it may be dated back to have us remove what happened yesterday
	}
	tell := cut.Seq > trimmed.Seq
	for removed := bundle; removed == bundle && ctx.Err() == nil; tell = false {
		err := k.Store.Update(ctx, func(tx store.Tx) (err error) {
			if tell {
				if err := tx.Record(ctx, k.trimming(trimmed, cut)); err != nil {
					return err
				}
			}
			removed, err = tx.TrimAudit(ctx, cut.Seq, bundle)
			return err
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// cut is how far the log was trimmed, and how far it is to be.
func (k *Keeper) cut(ctx context.Context) (trimmed, cut audit.Seal, err error) {
	err = k.Store.View(ctx, func(tx store.Tx) (err error) {
		if trimmed, err = tx.Trimmed(ctx); err != nil {
			return err
		}
		cut, err = tx.SealBefore(ctx, k.Now().Add(-k.Retention-skew))
		return err
	})
	if cut.Seq < trimmed.Seq {
		cut = trimmed // perhaps somebody did not get to the end
	}
	return trimmed, cut, err
}

func (k *Keeper) trimming(from, to audit.Seal) audit.Event {
	return audit.Event{
		Type: audit.LogTrimmed, At: k.Now(), OK: true, Target: fmt.Sprintf("%d..%d", from.Seq+1, to.Seq),
		Reason: fmt.Sprintf("%d events older than %s", to.Events-from.Events, k.Retention),
	}
}

// walk follows the chain from a link to a place, or to the end of the log, and returns where it stands there.
func (k *Keeper) walk(ctx context.Context, l audit.Link, to int64, each func(line []byte) error) (audit.Link, error) {
	for {
		var some []audit.Entry
		err := k.Store.View(ctx, func(tx store.Tx) (err error) {
			some, err = tx.Search(ctx, store.AuditQuery{After: l.Seq}, page)
			return err
		})
		if err != nil {
			return l, err
		}
		for _, e := range some {
			if e.Seq > to {
				return l, nil
			}
			var line []byte
			line, l = l.Next(e)
			if each == nil {
				continue
			}
			if err := each(line); err != nil {
				return l, err
			}
		}
		if len(some) < page {
			return l, nil
		}
	}
}

// seal returns the last seal at or before a place that the log can be walked from, zero for its beginning.
func (k *Keeper) seal(ctx context.Context, seq int64) (s audit.Seal, err error) {
	err = k.Store.View(ctx, func(tx store.Tx) error {
		var trimmed audit.Seal
		if s, err = tx.Seal(ctx, seq); err != nil {
			return err
		}
		if trimmed, err = tx.Trimmed(ctx); trimmed.Seq > s.Seq {
			s = trimmed
		}
		return err
	})
	if err == nil && s.Seq > 0 && !k.Vouch(s) {
		err = ErrForged
	}
	return s, err
}

// Stands is where the chain stood after the event at a place. What was trimmed has no place any more; the first
// one there still is takes its part.
func (k *Keeper) Stands(ctx context.Context, seq int64) (audit.Link, error) {
	s, err := k.seal(ctx, seq)
	if err != nil {
		return audit.Link{}, err
	}
	return k.walk(ctx, s.Link, seq, nil)
}

// ErrOther refuses to go on with the export of another log.
var ErrOther = errors.New("trail: the export and the database are not of one log: one of them was changed")

// Export writes what happened after from, a line for each event, and a seal at the end. A file that was ended
// before goes on where it stood: more is true then. It returns where the chain stands, and how many events it wrote.
func (k *Keeper) Export(ctx context.Context, w io.Writer, from audit.Link, more bool) (audit.Link, int64, error) {
	here, err := k.Stands(ctx, from.Seq)
	switch {
	case err != nil:
		return from, 0, err
	case here.Seq > from.Seq: // trimmed meanwhile
		more = false
	case more && here != from:
		return from, 0, ErrOther
	}
	put := func(line []byte) error {
		_, err := w.Write(append(line, '\n'))
		return err
	}
	if !more && here.Seq > 0 {
		if err := put(k.sign(here).JSON()); err != nil {
			return from, 0, err
		}
	}
	end, err := k.walk(ctx, here, math.MaxInt64, put)
	if err != nil || end == here && more {
		return end, 0, err
	}
	return end, end.Events - here.Events, put(k.sign(end).JSON())
}

// Check walks through the whole log and compares it with every seal. It returns where the log begins and ends,
// and how far seals cover it: what came after the last of them can be changed unnoticed.
func (k *Keeper) Check(ctx context.Context) (begins, sealed, ends audit.Link, err error) {
	first, seals, err := k.seals(ctx)
	if err != nil {
		return begins, sealed, ends, err
	}
	begins = first.Link
	at := begins
	for _, s := range seals {
		if !k.Vouch(s) {
			return begins, sealed, at, ErrForged
		}
		if at, err = k.walk(ctx, at, s.Seq, nil); err != nil {
			return begins, sealed, at, err
		}
		if at != s.Link {
			return begins, sealed, at, fmt.Errorf("trail: the events after %d and up to %d are not those that were sealed: some were changed, removed or added",
				sealed.Seq, s.Seq)
		}
		sealed = at
	}
	ends, err = k.walk(ctx, at, math.MaxInt64, nil)
	return begins, sealed, ends, err
}

// seals returns the seal that the log begins with, zero where nothing was trimmed, and all from there on.
func (k *Keeper) seals(ctx context.Context) (first audit.Seal, all []audit.Seal, err error) {
	err = k.Store.View(ctx, func(tx store.Tx) (err error) {
		all = nil
		if first, err = tx.Trimmed(ctx); err != nil {
			return err
		}
		for at := int64(math.MaxInt64); ; {
			s, err := tx.Seal(ctx, at)
			if err != nil || s.Seq == 0 || s.Seq < first.Seq {
				return err
			}
			all = append(all, s)
			at = s.Seq - 1
		}
	})
	slices.Reverse(all)
	return first, all, err
}
