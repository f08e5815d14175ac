package secret_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"latchkey.dev/internal/secret"
)

func ring(t *testing.T, masters ...byte) *secret.Keys {
	t.Helper()
	var all [][secret.KeySize]byte
	for _, m := range masters {
		all = append(all, [secret.KeySize]byte{m})
	}
	k, err := secret.NewKeys(all...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRootsOutliveMasterKeys(t *testing.T) {
	old := ring(t, 1)
	code := old.MAC(secret.MACCode, "x")
	kept, err := old.KeepDerived()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := secret.ParseRoot(kept.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	newer := ring(t, 2)
	if err := newer.Adopt(parsed); err != nil {
		t.Fatal(err)
	}
	if newer.MAC(secret.MACCode, "x") != code || newer.MAC(secret.MACPhone, "x") != old.MAC(secret.MACPhone, "x") {
		t.Error("what is derived changed with the master key")
	}
	if again, err := old.KeepDerived(); err != nil || bytes.Equal(again.Marshal(), kept.Marshal()) {
		t.Error("two roots are one: the second is not random")
	}
	if m, err := kept.MAC(secret.MACCode, "x"); err != nil || m != code {
		t.Errorf("before it is adopted a root derives something else: %v", err)
	}
	// With the root in hand nobody opens what the master key sealed, nor learns the key.
	master := [secret.KeySize]byte{1}
	for _, encoded := range []string{string(master[:]), base64.StdEncoding.EncodeToString(master[:])} {
		if bytes.Contains(kept.Marshal(), []byte(encoded)) {
			t.Error("the root holds the master key")
		}
	}

	a, b := ring(t, 1), ring(t, 1)
	if err := a.Adopt(secret.NewRoot()); err != nil {
		t.Fatal(err)
	}
	if a.MAC(secret.MACCode, "x") == code {
		t.Error("a new root derives what the master key did")
	}
	if a.Sealing() != b.Sealing() {
		t.Error("a root changed what seals")
	}
	for _, bad := range []string{"", "{}", `{"base":"AAAA"}`, "null"} {
		if _, err := secret.ParseRoot([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a root", bad)
		}
	}
}

func TestS67_OneKeyOfTheRingSeals(t *testing.T) {
	both, old := ring(t, 2, 1), ring(t, 1)
	ids := both.IDs()
	if len(ids) != 2 || both.Sealing() != ids[0] || old.Sealing() != ids[1] || ids[0] != secret.IDOf([secret.KeySize]byte{2}) {
		t.Fatalf("ids %v, sealing %v", ids, both.Sealing())
	}
	if !both.SealWith(ids[1]) || both.SealWith(ids[0]+1) || both.Sealing() != ids[1] {
		t.Errorf("sealing %v", both.Sealing())
	}
	sealed := both.Seal("p", []byte("x"))
	if plain, err := old.Open("p", sealed); err != nil || string(plain) != "x" {
		t.Errorf("%q, %v", plain, err)
	}
	if id, ok := secret.SealedWith(sealed); !ok || id != ids[1] || !bytes.HasPrefix(sealed, id.Prefix()) {
		t.Errorf("sealed with %v", id)
	}
	if _, ok := secret.SealedWith([]byte{1, 2, 3}); ok {
		t.Error("three bytes were sealed with something")
	}
	for _, id := range ids {
		if got, err := secret.ParseKeyID(id.String()); err != nil || got != id {
			t.Errorf("%s: %v, %v", id, got, err)
		}
	}
	for _, bad := range []string{"", "1", "0123456789", "xyzxyzxy"} {
		if _, err := secret.ParseKeyID(bad); err == nil {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}
