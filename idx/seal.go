package idx

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
)

// A Sealer turns a transaction into a cookie value of under 1 KB (handle, verifier, nonce, expiry; AES-256-GCM) and back.
// An opened transaction is PARKED: the next call on it reads it first, which costs one request more than a Snapshot kept
// on the server does. Behind a rate limit per person that is a choice to make knowingly.
type Sealer struct{ aeads []cipher.AEAD }

// sealPurpose keeps a value that something else encrypted under the same key from being taken for a transaction.
var sealPurpose = []byte("latchkey idx transaction 1")

// maxSealed is what a browser keeps of one cookie (RFC 6265 6.1), with room for its name and attributes.
const maxSealed = 3800

// NewSealer takes random keys. The first seals, all open, so that a key can be replaced while its cookies live on.
func NewSealer(keys ...[32]byte) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("idx: a sealer needs a key")
	}
	s := &Sealer{}
	for _, key := range keys {
		if key == [32]byte{} {
			return nil, errors.New("idx: a sealer's key is all zeros")
		}
		block, err := aes.NewCipher(key[:])
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		s.aeads = append(s.aeads, aead)
	}
	return s, nil
}

// Seal encrypts what is needed to go on with tx.
func (s *Sealer) Seal(tx *Transaction) (string, error) {
	if !tx.valid() {
		return "", ErrNoTransaction
	}
	text, err := json.Marshal(tx.doc.keep())
	if err != nil {
		return "", err
	}
	aead := s.aeads[0]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(text)+aead.Overhead())
	_, _ = rand.Read(nonce)
	sealed := b64.EncodeToString(aead.Seal(nonce, nonce, text, sealPurpose))
	if len(sealed) > maxSealed {
		return "", fmt.Errorf("idx: the sealed transaction has %d bytes, too many for a cookie", len(sealed))
	}
	return sealed, nil
}

// Open returns the transaction that was sealed, or ErrNoTransaction if any bit of it was changed or no key fits.
func (s *Sealer) Open(sealed string) (*Transaction, error) {
	if len(sealed) > maxSealed {
		return nil, ErrNoTransaction
	}
	box, err := b64.Strict().DecodeString(sealed)
	if err != nil {
		return nil, ErrNoTransaction
	}
	for _, aead := range s.aeads {
		n := aead.NonceSize()
		if len(box) < n {
			break
		}
		if text, err := aead.Open(nil, box[:n], box[n:], sealPurpose); err == nil {
			return Restore(text)
		}
	}
	return nil, ErrNoTransaction
}
