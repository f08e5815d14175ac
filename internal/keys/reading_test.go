package keys

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlite"
)

// flaky is a database that can be away.
type flaky struct {
	store.DB
	away  bool
	reads int
}

func (f *flaky) ViewOnce(ctx context.Context, do func(store.Tx) error) error {
	if f.reads++; f.away {
		return store.ErrUnavailable
	}
	return f.DB.ViewOnce(ctx, do)
}

// age makes the ring's reading older than it is.
func (r *Ring) age(d time.Duration) {
	h := *r.held.Load()
	h.read = h.read.Add(-d)
	r.held.Store(&h)
}

// A key that another node added is noticed within half a minute, and a database that is away for less
// than that is not (S-79, S-80).
func TestS79_KeysAreReadAgain(t *testing.T) {
	ctx := context.Background()
	if stale > 30*time.Second {
		t.Errorf("keys are trusted for %s", stale)
	}
	master, err := secret.NewKeys([secret.KeySize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(ctx, t.TempDir(), master)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	one, err := Open(ctx, db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	away := &flaky{DB: db}
	two, err := Open(ctx, away, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		t.Helper()
		set, err := two.JWKS(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(set), `"kid"`)
	}
	if err := one.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	reads := away.reads
	if n := count(); n != 1 || away.reads != reads {
		t.Errorf("%d keys after %d reads: a fresh reading was not used", n, away.reads-reads)
	}
	two.age(fresh)
	away.away = true
	if n := count(); n != 1 {
		t.Errorf("%d keys from a database that is away", n)
	}
	away.away = false
	if n := count(); n != 2 {
		t.Errorf("%d keys, want those that the other node published", n)
	}
	two.age(stale)
	away.away = true
	if _, err := two.Signer(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("stale keys sign: %v", err)
	}
	if _, err := Verify[any](ctx, two, "a.b.c"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("S-80: with stale keys a token is %v, which may be wrong", err)
	}
	away.away = false
	if _, err := two.Signer(ctx); err != nil {
		t.Errorf("the database is back: %v", err)
	}
}
