package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
)

// ErrUnsealed reports sealed bytes that no key of the ring opens: another master key, another row, or damage.
var ErrUnsealed = errors.New("secret: no key opens this value")

// KeySize is the length of a master key.
const KeySize = 32

// A KeyID names a master key and tells nothing of it. Sealed values begin with the id of the key that sealed them.
type KeyID uint32

func (id KeyID) String() string { return fmt.Sprintf("%08x", uint32(id)) }

// ParseKeyID reverses String.
func ParseKeyID(s string) (KeyID, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) != 8 {
		return 0, fmt.Errorf("secret: %q is no id of a master key", s)
	}
	return KeyID(n), nil
}

// Keys is the master key ring. One key seals, at first the newest; all of them open. A database says which one
// seals there and brings the [Root] of the derived keys ([Keys.MAC]), so that a master key can be taken off
// and what is derived (a code on its way, the id shown for an unknown name) stays what it was. Until then
// the derived keys come from the oldest key of the ring.
type Keys struct {
	ring    []sealer
	first   Root // of the oldest master key
	sealing atomic.Pointer[sealer]
	derived atomic.Pointer[derived]
}

type sealer struct {
	id   KeyID
	aead cipher.AEAD
}

// NewKeys makes a ring of master keys, newest first.
func NewKeys(masters ...[KeySize]byte) (*Keys, error) {
	if len(masters) == 0 {
		return nil, errors.New("secret: a key ring needs at least one master key")
	}
	k := &Keys{first: Root{base: masters[len(masters)-1]}}
	for _, m := range masters {
		s, err := newSealer(m)
		if err != nil {
			return nil, err
		}
		k.ring = append(k.ring, s)
	}
	k.sealing.Store(&k.ring[0])
	return k, k.Adopt(k.first)
}

func newSealer(master [KeySize]byte) (sealer, error) {
	sealKey, err := hkdf.Key(sha256.New, master[:], nil, "latchkey seal", KeySize)
	if err != nil {
		return sealer{}, fmt.Errorf("secret: deriving the sealing key: %w", err)
	}
	block, err := aes.NewCipher(sealKey)
	if err != nil {
		return sealer{}, fmt.Errorf("secret: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return sealer{}, fmt.Errorf("secret: %w", err)
	}
	id := sha256.Sum256(append([]byte("latchkey key id"), sealKey...))
	return sealer{KeyID(binary.BigEndian.Uint32(id[:])), aead}, nil
}

// IDOf is the id of a master key.
func IDOf(master [KeySize]byte) KeyID {
	s, err := newSealer(master)
	if err != nil {
		panic(err) // the arguments are constant: it would fail always or never
	}
	return s.id
}

// IDs are the keys of the ring, newest first.
func (k *Keys) IDs() []KeyID {
	var all []KeyID
	for _, s := range k.ring {
		all = append(all, s.id)
	}
	return all
}

// Has reports whether the ring holds a key.
func (k *Keys) Has(id KeyID) bool { return k.find(id) != nil }

// Sealing is the key that seals.
func (k *Keys) Sealing() KeyID { return k.sealing.Load().id }

// SealWith makes a key of the ring the one that seals, and reports whether there is such a key.
func (k *Keys) SealWith(id KeyID) bool {
	s := k.find(id)
	if s != nil {
		k.sealing.Store(s)
	}
	return s != nil
}

func (k *Keys) find(id KeyID) *sealer {
	for i := range k.ring {
		if k.ring[i].id == id {
			return &k.ring[i]
		}
	}
	return nil
}

// The keyed functions there are. A new one gets a new label, so that no two ever share a key.
const (
	MACCode        = "one-time code"   // S-07: the code of a challenge
	MACStateHandle = "state handle"    // the state handle that belongs to an interaction handle
	MACSuccess     = "success code"    // the one interaction code of a flow
	MACPhone       = "phone number"    // S-72: phone numbers as searchable pseudonyms
	MACLogin       = "login pseudonym" // S-72, S-24: what stands for a name nobody holds
	MACAnswer      = "repeated answer" // S-23: recognising the very same answer
	MACRefresh     = "refresh token"   // S-60: the successor of a refresh token, so that it can be given again
	MACReport      = "delivery report" // the token in the address that a carrier reports to
	MACSession     = "browser session" // the session value that a sign-in gives the browser
	MACBrowser     = "browser"         // what makes the name of a browser one of ours
	MACCheck       = "key check"       // S-70: does this master key belong to this database
	MACUserCode    = "user code"       // S-68: the letters that a device shows
	MACBackup      = "backup"          // S-83: nobody without the master key changes a backup unnoticed
	MACAudit       = "audit log"       // S-73: nobody without the master key rewrites the log unnoticed
)

var labels = []string{MACCode, MACStateHandle, MACSuccess, MACPhone, MACLogin, MACAnswer, MACCheck, MACBackup, MACAudit, MACReport, MACSession, MACBrowser, MACRefresh, MACUserCode}

// MAC is HMAC-SHA-256 under the key that belongs to label, over the parts, each with its length.
func (k *Keys) MAC(label string, parts ...string) Digest { return k.derived.Load().mac(label, parts) }

// Token is MAC as the 43 letters that go over the wire.
func (k *Keys) Token(label string, parts ...string) Text {
	d := k.MAC(label, parts...)
	return Text(base64.RawURLEncoding.EncodeToString(d[:]))
}

// Seal encrypts plain for one place (table, column, row); it opens nowhere else (S-67).
func (k *Keys) Seal(place string, plain []byte) []byte {
	s := k.sealing.Load()
	nonce := Bytes(s.aead.NonceSize())
	out := make([]byte, 4, 4+len(nonce)+len(plain)+s.aead.Overhead())
	binary.BigEndian.PutUint32(out, uint32(s.id))
	out = append(out, nonce...)
	return s.aead.Seal(out, nonce, plain, []byte(place))
}

// Open reverses Seal, with whichever key of the ring sealed it.
func (k *Keys) Open(place string, sealed []byte) ([]byte, error) {
	id, ok := SealedWith(sealed)
	if !ok {
		return nil, ErrUnsealed
	}
	body := sealed[4:]
	s := k.find(id)
	if s == nil || len(body) < s.aead.NonceSize() {
		return nil, ErrUnsealed
	}
	n := s.aead.NonceSize()
	plain, err := s.aead.Open(nil, body[:n], body[n:], []byte(place))
	if err != nil {
		return nil, ErrUnsealed
	}
	return plain, nil
}

// SealedWith tells which master key a value says it was sealed with.
func SealedWith(sealed []byte) (KeyID, bool) {
	if len(sealed) < 4 {
		return 0, false
	}
	return KeyID(binary.BigEndian.Uint32(sealed)), true
}

// Prefix is what every value begins with that this key sealed.
func (id KeyID) Prefix() []byte { return binary.BigEndian.AppendUint32(nil, uint32(id)) }
