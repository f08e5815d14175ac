package idx_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"latchkey.dev/idx"
)

func sealer(t testing.TB, keys ...byte) *idx.Sealer {
	t.Helper()
	var ks [][32]byte
	for _, k := range keys {
		ks = append(ks, [32]byte{k, 31: k})
	}
	s, err := idx.NewSealer(ks...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealer(t *testing.T) {
	c, tx := play(say(200, doc([]string{formOf("identify", "identify", identifierField)}, `"expiresAt":"2031-01-02T03:04:05.000Z"`))).start(t)
	s := sealer(t, 1)
	sealed, err := s.Seal(tx)
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) >= 1024 || strings.ContainsAny(sealed, " ;,\"\\") {
		t.Errorf("%d bytes, or not fit for a cookie: %s", len(sealed), sealed)
	}
	back, err := s.Open(sealed)
	if err != nil || back.Status() != idx.StatusParked || back.State() != tx.State() || !back.ExpiresAt().Equal(tx.ExpiresAt()) {
		t.Fatalf("%v, %v", back, err)
	}
	if again, _ := s.Seal(tx); again == sealed {
		t.Error("the same nonce twice")
	}
	next, err := c.Resume(t.Context(), back)
	must(t, next, err, idx.StatusPending, "identify")

	t.Run("any flipped bit fails", func(t *testing.T) {
		raw, err := base64.RawURLEncoding.DecodeString(sealed)
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			for bit := range 8 {
				raw[i] ^= 1 << bit
				if _, err := s.Open(base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, idx.ErrNoTransaction) {
					t.Fatalf("bit %d of byte %d: %v", bit, i, err)
				}
				raw[i] ^= 1 << bit
			}
		}
	})
	t.Run("rubbish fails", func(t *testing.T) {
		for _, bad := range []string{"", "x", sealed[:20], sealed + "A", " " + sealed, strings.Repeat("A", 1<<20), "\x00"} {
			if _, err := s.Open(bad); !errors.Is(err, idx.ErrNoTransaction) {
				t.Errorf("%.20q: %v", bad, err)
			}
		}
	})
	t.Run("keys can be replaced", func(t *testing.T) {
		if _, err := sealer(t, 2, 1).Open(sealed); err != nil {
			t.Error(err)
		}
		if _, err := sealer(t, 2).Open(sealed); !errors.Is(err, idx.ErrNoTransaction) {
			t.Error(err)
		}
		fresh, _ := sealer(t, 2, 1).Seal(tx)
		if _, err := s.Open(fresh); err == nil {
			t.Error("the second key has sealed")
		}
	})
	t.Run("keys that are none", func(t *testing.T) {
		if _, err := idx.NewSealer(); err == nil {
			t.Error("no key")
		}
		if _, err := idx.NewSealer([32]byte{1}, [32]byte{}); err == nil {
			t.Error("a key of zeros")
		}
	})
	t.Run("nothing to seal", func(t *testing.T) {
		if _, err := s.Seal(nil); !errors.Is(err, idx.ErrNoTransaction) {
			t.Error(err)
		}
	})
	t.Run("too much for a cookie", func(t *testing.T) {
		big, err := c.Start(t.Context(), idx.StartParam{Name: "state", Value: strings.Repeat("s", 5000)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Seal(big); err == nil {
			t.Error("it was sealed")
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	_, tx := play(say(200, doc(nil))).start(t)
	good, err := tx.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"nothing":          "",
		"null":             "null",
		"another version":  strings.Replace(string(good), `"v":1`, `"v":2`, 1),
		"no verifier":      strings.Replace(string(good), `"p":"`, `"P2":"`, 1),
		"document is text": strings.Replace(string(good), `"d":{`, `"d":"x","e2":{`, 1),
	} {
		if _, err := idx.Restore([]byte(bad)); !errors.Is(err, idx.ErrNoTransaction) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (*idx.Transaction)(nil).Snapshot(); !errors.Is(err, idx.ErrNoTransaction) {
		t.Error(err)
	}
}
