package secret

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// A Root is what derived keys come from: random, made with a database and kept there, sealed like everything
// that is secret. It outlives every master key.
//
// A database that is older than roots derived its keys from its first master key. Its root holds those keys
// one by one and not the master key, which must be free to go, nor anything that the key could be told from.
type Root struct {
	base [KeySize]byte
	kept map[string][]byte // by label; all others come from base
}

// NewRoot makes a root.
func NewRoot() Root { return Root{base: [KeySize]byte(Bytes(KeySize))} }

// KeepDerived makes a root that derives what the ring derived before there were roots, from its oldest key.
// What gets a label later comes from the new root alone.
func (k *Keys) KeepDerived() (Root, error) {
	d, err := k.first.derive()
	if err != nil {
		return Root{}, err
	}
	r := NewRoot()
	r.kept = d
	return r, nil
}

// Adopt makes the derived keys those of a root.
func (k *Keys) Adopt(r Root) error {
	d, err := r.derive()
	if err == nil {
		k.derived.Store(&d)
	}
	return err
}

// MAC is what [Keys.MAC] is once the root was adopted.
func (r Root) MAC(label string, parts ...string) (Digest, error) {
	d, err := r.derive()
	if err != nil {
		return Digest{}, err
	}
	return d.mac(label, parts), nil
}

// derived are the keys of the keyed functions, by label.
type derived map[string][]byte

func (r Root) derive() (derived, error) {
	d := derived{}
	maps.Copy(d, r.kept)
	for _, label := range labels {
		if d[label] != nil {
			continue
		}
		key, err := hkdf.Key(sha256.New, r.base[:], nil, "latchkey "+label, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("secret: deriving %s: %w", label, err)
		}
		d[label] = key
	}
	return d, nil
}

func (d derived) mac(label string, parts []string) Digest {
	key, ok := d[label]
	if !ok {
		panic("secret: MAC for a label that is not in the list: " + label) // a programming error, found by any test
	}
	h := hmac.New(sha256.New, key)
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return Digest(h.Sum(nil))
}

// rootRow is a root as it is stored, to be sealed.
type rootRow struct {
	Base []byte            `json:"base"`
	Kept map[string][]byte `json:"kept,omitempty"`
}

// Marshal is the root in the clear.
func (r Root) Marshal() []byte {
	b, err := json.Marshal(rootRow{r.base[:], r.kept})
	if err != nil {
		panic("secret: a root that is not JSON: " + err.Error()) // bytes and strings always are
	}
	return b
}

// ParseRoot reverses Marshal.
func ParseRoot(b []byte) (Root, error) {
	var row rootRow
	if err := json.Unmarshal(b, &row); err != nil || len(row.Base) != KeySize {
		return Root{}, errors.New("secret: this is no root of derived keys")
	}
	return Root{[KeySize]byte(row.Base), row.Kept}, nil
}
