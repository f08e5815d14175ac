package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrUnsealed reports sealed bytes that no key of the ring opens: another master key, another row, or damage.
var ErrUnsealed = errors.New("secret: no key opens this value")

// KeySize is the length of a master key.
const KeySize = 32

// Keys is the master key ring. The first key seals; all of them open.
//
// The derived keys ([Keys.MAC]) come from the last key of the ring, the oldest, so that adding a new
// sealing key in front does not change what is derived (a code on its way, the id shown for an unknown name).
type Keys struct {
	ring []sealer
	mac  map[string][]byte
	root []byte
}

type sealer struct {
	id   uint32
	aead cipher.AEAD
}

// NewKeys makes a ring of master keys, newest first.
func NewKeys(masters ...[KeySize]byte) (*Keys, error) {
	if len(masters) == 0 {
		return nil, errors.New("secret: a key ring needs at least one master key")
	}
	k := &Keys{mac: map[string][]byte{}}
	for _, m := range masters {
		sealKey, err := hkdf.Key(sha256.New, m[:], nil, "latchkey seal", KeySize)
		if err != nil {
			return nil, fmt.Errorf("secret: deriving the sealing key: %w", err)
		}
		block, err := aes.NewCipher(sealKey)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		id := sha256.Sum256(append([]byte("latchkey key id"), sealKey...))
		k.ring = append(k.ring, sealer{binary.BigEndian.Uint32(id[:]), aead})
	}
	oldest := masters[len(masters)-1]
	k.root = oldest[:]
	for _, label := range labels {
		derived, err := hkdf.Key(sha256.New, k.root, nil, "latchkey "+label, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("secret: deriving %s: %w", label, err)
		}
		k.mac[label] = derived
	}
	return k, nil
}

// The keyed functions there are. A new one gets a new label, so that no two ever share a key.
const (
	MACCode        = "one-time code"   // S-07: the code of a challenge
	MACStateHandle = "state handle"    // the state handle that belongs to an interaction handle
	MACSuccess     = "success code"    // the one interaction code of a flow
	MACPhone       = "phone number"    // S-72: phone numbers as searchable pseudonyms
	MACLogin       = "login pseudonym" // S-72, S-24: what stands for a name nobody holds
	MACAnswer      = "repeated answer" // S-23: recognising the very same answer
	MACCheck       = "key check"       // S-70: does this master key belong to this database
)

var labels = []string{MACCode, MACStateHandle, MACSuccess, MACPhone, MACLogin, MACAnswer, MACCheck}

// MAC is HMAC-SHA-256 under the key that belongs to label, over the parts, each with its length.
func (k *Keys) MAC(label string, parts ...string) Digest {
	key, ok := k.mac[label]
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

// Token is MAC as the 43 letters that go over the wire.
func (k *Keys) Token(label string, parts ...string) Text {
	d := k.MAC(label, parts...)
	return Text(base64.RawURLEncoding.EncodeToString(d[:]))
}

// Seal encrypts plain for one place (table, column, row); it opens nowhere else (S-67).
func (k *Keys) Seal(place string, plain []byte) []byte {
	s := k.ring[0]
	nonce := Bytes(s.aead.NonceSize())
	out := make([]byte, 4, 4+len(nonce)+len(plain)+s.aead.Overhead())
	binary.BigEndian.PutUint32(out, s.id)
	out = append(out, nonce...)
	return s.aead.Seal(out, nonce, plain, []byte(place))
}

// Open reverses Seal, with whichever key of the ring sealed it.
func (k *Keys) Open(place string, sealed []byte) ([]byte, error) {
	if len(sealed) < 4 {
		return nil, ErrUnsealed
	}
	id := binary.BigEndian.Uint32(sealed)
	for _, s := range k.ring {
		body := sealed[4:]
		if s.id != id || len(body) < s.aead.NonceSize() {
			continue
		}
		n := s.aead.NonceSize()
		plain, err := s.aead.Open(nil, body[:n], body[n:], []byte(place))
		if err == nil {
			return plain, nil
		}
	}
	return nil, ErrUnsealed
}
