package keys

import (
	"context"
	"fmt"
	"slices"
	"time"

	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

// The times of S-69.
const (
	Life  = 90 * 24 * time.Hour // how long a key signs
	Ahead = 24 * time.Hour      // how long a key is published before it signs: clients keep the set for a day
	after = oauth.MaxAge + time.Hour
)

// signing returns the key whose turn it is: of those that have begun, the one that began last. If the
// clock was set back to before any had, the oldest signs: a wrong clock must not stop sign-ins (S-82).
func signing(all []store.SigningKey, now time.Time) (store.SigningKey, bool) {
	var found store.SigningKey
	for i, k := range all {
		begun := !now.Before(k.From)
		if i == 0 || begun && (!k.From.Before(found.From) || now.Before(found.From)) {
			found = k
		}
	}
	return found, len(all) > 0
}

// published reports whether a key may be used to verify: from the day it exists until the last token that
// it can have signed is over. Retired is when its turn ends.
func published(all []store.SigningKey, id string, now time.Time) bool {
	i := slices.IndexFunc(all, func(k store.SigningKey) bool { return k.ID == id })
	return i >= 0 && (all[i].Retired.IsZero() || now.Before(all[i].Retired.Add(after)))
}

// Due reports whether it is time to rotate: the youngest key's turn ends within the time a new one is published ahead.
func (r *Ring) Due(ctx context.Context) (bool, error) {
	h, err := r.current(ctx)
	if err != nil {
		return false, err
	}
	last := h.all[len(h.all)-1]
	return !r.now().Before(last.From.Add(Life - Ahead)), nil
}

// Rotate adds a key that is published now and signs from a day on; the turn of the present one ends then.
// While one waits for its turn there is nothing to do, so that any number of nodes may ask at any time.
func (r *Ring) Rotate(ctx context.Context) error {
	if err := r.Reload(ctx); err != nil {
		return err
	}
	now := r.now().UTC()
	from := now.Add(Ahead)
	all := slices.Clone(r.held.Load().all)
	if slices.ContainsFunc(all, func(k store.SigningKey) bool { return now.Before(k.From) }) {
		return nil
	}
	var retire []store.SigningKey
	for _, k := range all {
		if k.Retired.IsZero() {
			k.Retired = from
			retire = append(retire, k)
		}
	}
	if err := r.add(ctx, len(all)+1, now, from, retire); err != nil {
		return fmt.Errorf("keys: rotating: %w", err)
	}
	return r.Reload(ctx)
}
