package idx

import "crypto/cipher"

// A Sealer turns a transaction into a cookie value of under 1 KB (handle, verifier, nonce, expiry; AES-256-GCM) and back.
// An opened transaction is PARKED: the next call on it reads it first, which costs one request more than a Snapshot kept on the server.
type Sealer struct{ aeads []cipher.AEAD }

// NewSealer takes random keys. The first seals, all open, so that a key can be replaced while its cookies live on.
func NewSealer(keys ...[32]byte) (*Sealer, error) { return nil, errUnfinished }

// Seal encrypts what is needed to go on with tx.
func (s *Sealer) Seal(tx *Transaction) (string, error) { return "", errUnfinished }

// Open returns the transaction that was sealed, or ErrNoTransaction if any bit of it was changed or no key fits.
func (s *Sealer) Open(sealed string) (*Transaction, error) { return nil, errUnfinished }
