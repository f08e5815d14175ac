package secret

import (
	"crypto/hkdf"
	"crypto/sha256"
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

// KeepDerived makes a root that derives what k derives now. What gets a label later comes from the new root alone.
func (k *Keys) KeepDerived() Root {
	r := NewRoot()
	r.kept = maps.Clone(k.derived.Load().keys)
	return r
}

// Adopt makes the derived keys those of a root.
func (k *Keys) Adopt(r Root) error {
	d := &derived{maps.Clone(r.kept)}
	if d.keys == nil {
		d.keys = map[string][]byte{}
	}
	for _, label := range labels {
		if d.keys[label] != nil {
			continue
		}
		key, err := hkdf.Key(sha256.New, r.base[:], nil, "latchkey "+label, sha256.Size)
		if err != nil {
			return fmt.Errorf("secret: deriving %s: %w", label, err)
		}
		d.keys[label] = key
	}
	k.derived.Store(d)
	return nil
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
