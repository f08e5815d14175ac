package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"latchkey.dev/internal/secret"
)

func TestTextDoesNotPrint(t *testing.T) {
	const marker = "marker-9b1c"
	v := struct{ Password secret.Text }{marker}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "direct", v.Password, "within", v)
	j, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{fmt.Sprint(v), fmt.Sprintf("%+v %#v %s %q %x", v, v, v.Password, v.Password, v.Password), string(j), log.String()} {
		if strings.Contains(out, marker) || strings.Contains(out, fmt.Sprintf("%x", marker)) {
			t.Errorf("printed: %s", out)
		}
	}
}

func TestS16_PurposesNeverMeet(t *testing.T) {
	seen := map[secret.Digest]bool{}
	for _, p := range []secret.Purpose{secret.InteractionHandle, secret.StateHandle, secret.InteractionCode, secret.RefreshToken, secret.ClientSecret} {
		seen[secret.DigestOf(p, "same value")] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d different digests of five purposes", len(seen))
	}
	if v := secret.Random().Reveal(); len(v) != 43 {
		t.Errorf("random value has %d letters, want 43 for 256 bits", len(v))
	}
}

func TestS67_SealedOpensOnlyInItsPlaceAndWithItsKey(t *testing.T) {
	old, newer := [32]byte{1}, [32]byte{2}
	a, err := secret.NewKeys(old)
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := secret.NewKeys(newer, old)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := secret.NewKeys(newer)
	if err != nil {
		t.Fatal(err)
	}
	sealed := a.Seal("users.phone.1", []byte("+15551234567"))
	if bytes.Contains(sealed, []byte("5551234567")) {
		t.Error("sealed bytes show the number")
	}
	for name, c := range map[string]struct {
		keys   *secret.Keys
		place  string
		sealed []byte
		ok     bool
	}{
		"its place":              {a, "users.phone.1", sealed, true},
		"after a key was added":  {rotated, "users.phone.1", sealed, true},
		"another row":            {a, "users.phone.2", sealed, false},
		"another master key":     {foreign, "users.phone.1", sealed, false},
		"cut short":              {a, "users.phone.1", sealed[:10], false},
		"nothing":                {a, "users.phone.1", nil, false},
		"a bit flipped":          {a, "users.phone.1", append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1), false},
		"what the new key seals": {rotated, "p", rotated.Seal("p", []byte("+15551234567")), true},
		"the old ring cannot":    {a, "p", rotated.Seal("p", []byte("+15551234567")), false},
	} {
		t.Run(name, func(t *testing.T) {
			plain, err := c.keys.Open(c.place, c.sealed)
			if c.ok && (err != nil || string(plain) != "+15551234567") {
				t.Errorf("got %q, %v", plain, err)
			}
			if !c.ok && !errors.Is(err, secret.ErrUnsealed) {
				t.Errorf("got %q, %v", plain, err)
			}
		})
	}
	if a.MAC(secret.MACCode, "x") != rotated.MAC(secret.MACCode, "x") {
		t.Error("adding a key changed what is derived")
	}
	if a.MAC(secret.MACCode, "ab", "c") == a.MAC(secret.MACCode, "a", "bc") || a.MAC(secret.MACCode, "x") == a.MAC(secret.MACPhone, "x") {
		t.Error("two different questions have one answer")
	}
}
