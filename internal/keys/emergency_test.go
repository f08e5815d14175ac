package keys_test

import (
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/storetest"
)

func TestS69_EmergencyRotation(t *testing.T) {
	c, db := newClock(), openDB(t, t.TempDir())
	ring := open(t, db, c)
	stolen := sign(t, ring, "x")
	c.add(keys.Life - keys.Ahead)
	if err := ring.Rotate(ctx); err != nil { // one waits for its turn, and was stolen with the first
		t.Fatal(err)
	}
	c.add(time.Second)
	kid1, err := ring.Replace(ctx, "", audit.Event{Actor: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, ring, "y")
	if got := published(t, ring); len(got) != 1 || got[0] != kid1 || kid(t, good) != kid1 {
		t.Errorf("published %v, signed with %s, want the new key %s alone", got, kid(t, good), kid1)
	}
	if _, err := keys.Verify[any](ctx, ring, stolen); !errors.Is(err, keys.ErrInvalid) {
		t.Errorf("a token of the stolen key, seen before: %v", err)
	}
	// Neither a clock that is behind nor time brings a withdrawn key back.
	for _, d := range []time.Duration{-2 * time.Hour, 50 * time.Hour, keys.Life} {
		c.add(d)
		if err := ring.Reload(ctx); err != nil {
			t.Fatal(err)
		}
		if got := published(t, ring); !slices.Equal(got, []string{kid1}) {
			t.Errorf("published %v after %s", got, d)
		}
		if got := kid(t, sign(t, ring, "z")); got != kid1 {
			t.Errorf("signed with %s after %s", got, d)
		}
		c.add(-d)
	}
	var said []audit.Type
	for _, e := range storetest.Events(t, db) {
		said = append(said, e.Type)
		if e.Type != audit.SigningKeyCreated && e.Actor != "operator" {
			t.Errorf("S-71: %s does not say who", e.Type)
		}
	}
	want := []audit.Type{audit.SigningKeyCreated, audit.SigningKeyCreated, audit.SigningKeyRetired, audit.SigningKeyRetired, audit.KeysReplaced, audit.SigningKeyCreated}
	if !slices.Equal(said, want) {
		t.Errorf("S-71: events %v, want %v", said, want)
	}
	told, err := ring.Keys(ctx)
	if err != nil || len(told) != 3 || told[0].State != keys.Withdrawn || told[1].State != keys.Withdrawn || told[2].State != keys.Signing {
		t.Errorf("keys are %+v, %v", told, err)
	}
	// The life of the new key goes on as any key's does.
	c.add(keys.Life - keys.Ahead)
	if due, err := ring.Due(ctx); err != nil || !due {
		t.Errorf("due %v, %v", due, err)
	}
	if err := ring.Rotate(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(published(t, ring)); n != 2 {
		t.Errorf("%d keys published after the next rotation", n)
	}
}

func TestS69_ES256(t *testing.T) {
	c, db := newClock(), openDB(t, t.TempDir())
	ring := open(t, db, c)
	before := sign(t, ring, "x")
	if err := ring.RotateTo(ctx, "HS256", audit.Event{}); err == nil {
		t.Error("S-62: HS256 is an algorithm")
	}
	if err := ring.RotateTo(ctx, keys.ES256, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	if algs, err := ring.Algorithms(ctx); err != nil || !slices.Equal(algs, []string{keys.ES256, keys.RS256}) {
		t.Errorf("S-66: algorithms %v, %v", algs, err)
	}
	c.add(keys.Ahead)
	token := sign(t, ring, map[string]string{"sub": "00u1"})
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if h := jws.Signatures[0].Header; len(h.ExtraHeaders) > 0 || h.KeyID == "" {
		t.Errorf("header %+v", h)
	}
	raw, err := ring.JWKS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	if _, err := jws.Verify(set); err != nil {
		t.Errorf("by the published keys: %v", err)
	}
	for _, shown := range []string{before, token} {
		if _, err := keys.Verify[any](ctx, ring, shown); err != nil {
			t.Errorf("our own token: %v", err)
		}
	}
	other := open(t, db, c) // which has read the key and did not make it
	if claims, err := keys.Verify[map[string]string](ctx, other, token); err != nil || claims["sub"] != "00u1" {
		t.Errorf("another node: %v, %v", claims, err)
	}
	end := strings.LastIndexByte(token, '.')
	signed, signature := token[:end], token[end+1:]
	raw, err = base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(raw) != 64 {
		t.Fatalf("a signature of %d bytes, %v", len(raw), err)
	}
	r, s := new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string][]byte{
		"none":         {},
		"of zeros":     make([]byte, 64),
		"one bit off":  append([]byte{raw[0] ^ 1}, raw[1:]...),
		"a byte short": raw[:63],
		"a byte long":  append(slices.Clone(raw), 0),
		"in DER":       der,
		"turned round": append(slices.Clone(raw[32:]), raw[:32]...),
	} {
		if _, err := keys.Verify[any](ctx, other, signed+"."+b64(string(wrong))); !errors.Is(err, keys.ErrInvalid) {
			t.Errorf("S-62: a signature %s: %v", name, err)
		}
	}
	// The next one is like the present one, until somebody says otherwise.
	if _, err := ring.Replace(ctx, "", audit.Event{}); err != nil {
		t.Fatal(err)
	}
	if told, err := ring.Keys(ctx); err != nil || told[2].Alg != keys.ES256 {
		t.Errorf("replaced by %+v, %v", told, err)
	}
}

// Eight nodes, each with a connection of its own, come at once: whatever they make is made once (S-69).
func TestS69_EightNodesAtOnce(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		eightAtOnce(t, func() (store.DB, error) { return sqlite.Open(ctx, dir, master(t)) })
	})
	t.Run("postgres", func(t *testing.T) {
		schema := storetest.Schema(t)
		eightAtOnce(t, func() (store.DB, error) { return postgres.Open(ctx, schema, master(t), slog.New(slog.DiscardHandler)) })
	})
}

func eightAtOnce(t *testing.T, connect func() (store.DB, error)) {
	const nodes = 8
	c := newClock()
	dbs, rings := make([]store.DB, nodes), make([]*keys.Ring, nodes)
	together := func(do func(i int) error) {
		t.Helper()
		var wait sync.WaitGroup
		for i := range nodes {
			wait.Go(func() {
				if err := do(i); err != nil {
					t.Errorf("node %d: %v", i, err)
				}
			})
		}
		wait.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	together(func(i int) (err error) {
		if dbs[i], err = connect(); err != nil {
			return err
		}
		rings[i], err = keys.Open(ctx, dbs[i], c.now)
		return err
	})
	t.Cleanup(func() {
		for _, db := range dbs {
			if db != nil {
				db.Close()
			}
		}
	})
	agree := func(step string, want int) {
		t.Helper()
		together(func(i int) error { return rings[i].Reload(ctx) })
		first := published(t, rings[0])
		if len(first) != want {
			t.Errorf("%s: %d keys are published, want %d", step, len(first), want)
		}
		signer := kid(t, sign(t, rings[0], "x"))
		for i, ring := range rings {
			if got := published(t, ring); !slices.Equal(got, first) || kid(t, sign(t, ring, "x")) != signer {
				t.Errorf("%s: node %d publishes %v, node 0 %v", step, i, got, first)
			}
		}
	}
	agree("begun", 1)
	together(func(i int) error { return rings[i].Rotate(ctx) })
	agree("rotated", 2)
	c.add(keys.Ahead)
	agree("the turn of the second", 2)
	together(func(i int) error { // an emergency, while the others rotate
		if i%2 == 0 {
			return rings[i].Rotate(ctx)
		}
		_, err := rings[i].Replace(ctx, "", audit.Event{Actor: fmt.Sprint("operator ", i)})
		return err
	})
	together(func(i int) error { return rings[i].Reload(ctx) })
	told, err := rings[0].Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if told[0].State != keys.Withdrawn || told[1].State != keys.Withdrawn {
		t.Errorf("after the emergency the first two keys are %s and %s", told[0].State, told[1].State)
	}
	live := slices.DeleteFunc(told, func(k keys.KeyInfo) bool { return k.State == keys.Withdrawn })
	if len(live) < 1 || len(live) > 2 { // the new one, and perhaps one that a rotation added behind it
		t.Errorf("%d keys live after the emergency", len(live))
	}
	agree("after the emergency", len(live))
}
