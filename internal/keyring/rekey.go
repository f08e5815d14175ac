package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// A DB is a database whose master key can be changed.
type DB interface {
	store.DB
	store.MasterKeys
}

// Progress is told how far a rekeying has come: the values sealed anew so far, of how many.
type Progress func(done, of int)

// A Result is what a rekeying came to.
type Result struct {
	Seals   secret.KeyID
	Values  int            // sealed anew
	Dropped []secret.KeyID // needed no more: they can be taken out of the configuration
}

const (
	perStep  = 200
	patrol   = time.Second      // how often to look whether all servers have followed
	patience = 90 * time.Second // for servers to follow; one that was killed is forgotten in a minute
)

// Rekey seals everything in the database with the newest key of the ring, while servers run on it. It may be
// broken off and run again at any time. All running servers must hold the new key already; at the end the older
// keys are needed by nobody, unless by backups that were made before. by says who does it and when.
func Rekey(ctx context.Context, db DB, keys *secret.Keys, by audit.Event, tell Progress) (r Result, err error) {
	r.Seals = keys.IDs()[0]
	if err := begin(ctx, db, r.Seals); err != nil {
		return r, err
	}
	of, err := foreign(ctx, db)
	if err != nil {
		return r, err
	}
	var at store.Resealing
	for !at.Over {
		tell(at.Done, of)
		if at, err = db.Reseal(ctx, at, perStep); err != nil {
			return r, fmt.Errorf("keyring: %w", err)
		}
	}
	tell(at.Done, of)
	r.Values = at.Done
	if len(at.Broken) > 0 {
		return r, fmt.Errorf("keyring: no key opens %d values, the first of them %s: keep the older keys", len(at.Broken), at.Broken[0])
	}
	if r.Dropped, err = db.DropMasterKeys(ctx); err != nil {
		return r, fmt.Errorf("keyring: %w: run this again", err)
	}
	by.Type, by.OK, by.Target = audit.MasterKeyChanged, true, r.Seals.String()
	return r, db.Update(ctx, func(tx store.Tx) error { return tx.Record(ctx, by) })
}

// begin makes the key the one that seals, and waits until every server that was seen lately has followed. One that
// was killed is waited for until it is forgotten.
func begin(ctx context.Context, db DB, id secret.KeyID) error {
	chosen := false
	return patiently(ctx, func() (err error) {
		if !chosen {
			if err := db.SealWith(ctx, id); err != nil {
				return err
			}
			chosen = true
		}
		nodes, err := db.Nodes(ctx)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if n.Seals != id {
				return fmt.Errorf("%w: the server that calls itself %s does not seal with master key %s", store.ErrStale, n.ID, id)
			}
		}
		return nil
	})
}

// patiently tries again what is in the way of a server, until it is not or the patience is over.
func patiently(ctx context.Context, try func() error) error {
	tick := time.NewTicker(patrol)
	defer tick.Stop()
	over := time.After(patience)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if !errors.Is(err, store.ErrStale) {
			return fmt.Errorf("keyring: %w", err)
		}
		select {
		case <-tick.C:
		case <-over:
			return fmt.Errorf("keyring: %w: run this again when it does", err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// foreign counts what is still to be sealed anew.
func foreign(ctx context.Context, db DB) (n int, err error) {
	all, err := db.MasterKeys(ctx)
	if err != nil {
		return 0, fmt.Errorf("keyring: %w", err)
	}
	var lacking error
	for _, k := range all {
		if !k.Seals {
			n += k.Values
		}
		if !k.Held {
			lacking = errors.Join(lacking, fmt.Errorf("keyring: master key %s is not configured", k.ID))
		}
	}
	return n, lacking
}
