package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"latchkey.dev/internal/audit"
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
// clock was set back to before any had, the oldest signs: a wrong clock must not stop sign-ins (S-82). One that
// was withdrawn never signs, whatever the clock.
func signing(all []store.SigningKey, now time.Time) (found store.SigningKey, ok bool) {
	for _, k := range all {
		if withdrawn(k) {
			continue
		}
		begun := !now.Before(k.From)
		if !ok || begun && (!k.From.Before(found.From) || now.Before(found.From)) {
			found, ok = k, true
		}
	}
	return found, ok
}

// withdrawn reports whether a key was taken back. Its turn then ended before it was made, so that a binary that
// looks at nothing but the times does not publish it either.
func withdrawn(k store.SigningKey) bool { return !k.Retired.IsZero() && k.Retired.Before(k.Created) }

func withdraw(k store.SigningKey) store.SigningKey {
	k.Retired = k.Created.Add(-after - time.Hour)
	return k
}

// published reports whether a key may be used to verify: from the day it exists until the last token that
// it can have signed is over. Retired is when its turn ends.
func published(all []store.SigningKey, id string, now time.Time) bool {
	i := slices.IndexFunc(all, func(k store.SigningKey) bool { return k.ID == id })
	return i >= 0 && !withdrawn(all[i]) && (all[i].Retired.IsZero() || now.Before(all[i].Retired.Add(after)))
}

// Due reports whether it is time to rotate: the youngest key's turn ends within the time a new one is published ahead.
func (r *Ring) Due(ctx context.Context) (bool, error) {
	h, err := r.current(ctx)
	if err != nil {
		return false, err
	}
	var last time.Time
	for _, k := range h.all {
		if !withdrawn(k) && k.From.After(last) {
			last = k.From
		}
	}
	return !r.now().Before(last.Add(Life - Ahead)), nil
}

// Rotate adds a key that is published now and signs from a day on; the turn of the present one ends then.
// While one waits for its turn there is nothing to do, so that any number of nodes may ask at any time.
func (r *Ring) Rotate(ctx context.Context) error { return r.RotateTo(ctx, "", audit.Event{}) }

// RotateTo is Rotate to a key for another algorithm; empty is that of the present one. by says who asked for it.
func (r *Ring) RotateTo(ctx context.Context, alg string, by audit.Event) error {
	if err := r.Reload(ctx); err != nil {
		return err
	}
	now := r.now().UTC()
	from := now.Add(Ahead)
	all := r.held.Load().all
	if slices.ContainsFunc(all, func(k store.SigningKey) bool { return now.Before(k.From) && !withdrawn(k) }) {
		return nil
	}
	if alg == "" {
		alg = algOf(all, now)
	}
	var retire []store.SigningKey
	for _, k := range all {
		if k.Retired.IsZero() {
			k.Retired = from
			retire = append(retire, k)
		}
	}
	_, err := r.add(ctx, len(all)+1, alg, now, from, change{retire: retire, by: by})
	if err != nil && !errors.Is(err, store.ErrExists) { // another node's is as good
		return fmt.Errorf("keys: rotating: %w", err)
	}
	return r.Reload(ctx)
}

// Replace is for the day a private key got out: a new key signs at once, and all others are withdrawn, with
// whatever they have signed. Nodes follow within half a minute. Access and ID tokens from before are worth
// nothing then; refresh tokens, which no key signs, go on.
func (r *Ring) Replace(ctx context.Context, alg string, by audit.Event) (kid string, err error) {
	for range attempts {
		if err := r.Reload(ctx); err != nil {
			return "", err
		}
		now := r.now().UTC()
		all := r.held.Load().all
		if alg == "" {
			alg = algOf(all, now)
		}
		c := change{by: by}
		for _, k := range all {
			if !withdrawn(k) {
				c.retire = append(c.retire, withdraw(k))
				c.events = append(c.events, audit.Event{Type: audit.SigningKeyRetired, OK: true, Reason: string(Withdrawn), Target: k.ID})
			}
		}
		c.events = append(c.events, audit.Event{Type: audit.KeysReplaced, OK: true})
		kid, err = r.add(ctx, len(all)+1, alg, now, now, c)
		if errors.Is(err, store.ErrExists) {
			continue // somebody rotated just now: that key has to go, too
		}
		if err != nil {
			return "", fmt.Errorf("keys: replacing: %w", err)
		}
		return kid, r.Reload(ctx)
	}
	return "", fmt.Errorf("keys: replacing: %w", err)
}

// attempts bounds a race that nobody wins every time.
const attempts = 10

// algOf is the algorithm of the key whose turn it is.
func algOf(all []store.SigningKey, now time.Time) string {
	if k, ok := signing(all, now); ok {
		return k.Alg
	}
	return RS256
}

// A KeyState is where a key stands in its life.
type KeyState string

// The states, in their order.
const (
	Waiting   KeyState = "waiting"   // published, and signs later
	Signing   KeyState = "signing"   // its turn
	Verifying KeyState = "verifying" // tokens of it may live
	Retired   KeyState = "retired"   // in nobody's hands any more
	Withdrawn KeyState = "withdrawn" // taken back in an emergency
)

// A KeyInfo is what may be said of a signing key.
type KeyInfo struct {
	ID      string
	Alg     string
	State   KeyState
	Created time.Time
	From    time.Time // when it begins to sign
	Until   time.Time // when its turn ends; zero: not decided
}

// Keys tells of all signing keys there have been, oldest first.
func (r *Ring) Keys(ctx context.Context) (told []KeyInfo, err error) {
	h, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	now := r.now()
	turn, _ := signing(h.all, now)
	for _, k := range h.all {
		info := KeyInfo{ID: k.ID, Alg: k.Alg, State: Verifying, Created: k.Created, From: k.From, Until: k.Retired}
		switch {
		case withdrawn(k):
			info.State, info.Until = Withdrawn, time.Time{}
		case k.ID == turn.ID:
			info.State = Signing
		case now.Before(k.From):
			info.State = Waiting
		case !published(h.all, k.ID, now):
			info.State = Retired
		}
		told = append(told, info)
	}
	return told, nil
}
