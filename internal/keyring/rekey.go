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
	perStep = 200
	patrol  = time.Second     // how often to look whether all servers have followed
	waiting = 2 * time.Minute // for servers to follow; whoever is killed meanwhile is forgotten sooner
)

// Rekey seals everything in the database with the newest key of the ring, while servers run on it. It may be
// broken off and run again at any time. All running servers must hold the new key already; at the end the older
// keys are needed by nobody, unless by backups that were made before. by says who does it and when.
func Rekey(ctx context.Context, db DB, keys *secret.Keys, by audit.Event, tell Progress) (r Result, err error) {
	r.Seals = keys.IDs()[0]
	if err := db.SealWith(ctx, r.Seals); err != nil {
		return r, fmt.Errorf("keyring: %w", err)
	}
	if err := followed(ctx, db, r.Seals); err != nil {
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

// followed waits until every server that was seen lately seals with the key.
func followed(ctx context.Context, db DB, id secret.KeyID) error {
	var lags string
	for until := time.Now().Add(waiting); time.Now().Before(until); {
		nodes, err := db.Nodes(ctx)
		if err != nil {
			return fmt.Errorf("keyring: %w", err)
		}
		lags = ""
		for _, n := range nodes {
			if n.Seals != id {
				lags = n.ID
			}
		}
		if lags == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(patrol):
		}
	}
	return fmt.Errorf("keyring: the server that calls itself %s does not seal with %s: run this again when it does", lags, id)
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
