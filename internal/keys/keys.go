// Package keys owns the signing keys: what tokens are signed with, and what they are verified with.
//
// A [Ring] holds them as the database does, at most half a minute late, so that every node signs and
// publishes alike (S-79). Which key signs and which are published is judged by pure functions over their
// times, in rotation.go. What a token says is the business of oauth; here it is bytes.
package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/store"
)

// The algorithms. RS256 is what every client verifies, and the only thing some of them do; ES256 makes shorter
// tokens and signs at a tenth of the cost.
const (
	RS256 = "RS256"
	ES256 = "ES256"
)

const bits = 2048

// How old the ring's copy of the keys may get before it is read again, and before it is not trusted any
// more. By the process's own clock, which nobody sets.
const (
	fresh = 15 * time.Second
	stale = 30 * time.Second
)

// ErrInvalid is returned for a token that none of our keys signed.
var ErrInvalid = errors.New("keys: not a token of ours")

// A Ring is the signing keys of the organisation.
type Ring struct {
	db       store.DB
	now      func() time.Time
	held     atomic.Pointer[held]
	reading  sync.Mutex
	verdicts verdicts
}

// held is one reading of the keys. It does not change.
type held struct {
	read   time.Time // by the process's clock
	all    []store.SigningKey
	keys   map[string]*key // by kid
	header map[string]*key // by the one header that a token of this key has
	jwks   []byte
}

// A key is a signing key, ready for use.
type key struct {
	id     string
	alg    jose.SignatureAlgorithm
	public crypto.PublicKey
	signer jose.Signer
	header string // base64url, as go-jose writes it
}

// Open reads the keys, and makes the first one if there is none. Two processes that begin at once agree on it.
func Open(ctx context.Context, db store.DB, now func() time.Time) (*Ring, error) {
	r := &Ring{db: db, now: now}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload reads the keys again, at once. It is for whoever has just changed them or emptied the database.
func (r *Ring) Reload(ctx context.Context) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	return r.reload(ctx)
}

// reload does the work; r.reading is held.
func (r *Ring) reload(ctx context.Context) error {
	at := time.Now()
	all, err := r.stored(ctx)
	if err == nil && len(all) == 0 {
		all, err = r.first(ctx)
	}
	if err != nil {
		return fmt.Errorf("keys: reading: %w", err)
	}
	h := &held{read: at, all: all, keys: map[string]*key{}, header: map[string]*key{}}
	before := r.held.Load()
	for _, s := range all {
		k := before.known(s)
		if k == nil {
			if k, err = newKey(s); err != nil {
				return err
			}
		}
		h.keys[k.id], h.header[k.header] = k, k
	}
	if h.jwks, err = h.publish(r.now()); err != nil {
		return err
	}
	r.held.Store(h)
	return nil
}

// known returns the key if it was held already: parsing one costs more than reading it.
func (h *held) known(s store.SigningKey) *key {
	if h == nil {
		return nil
	}
	for i := range h.all {
		if h.all[i].ID == s.ID && bytes.Equal(h.all[i].Private, s.Private) {
			return h.keys[s.ID]
		}
	}
	return nil
}

// current returns the keys as the database has them now or had them a moment ago. One caller at a time
// reads; meanwhile, and while the database is away, the others go on with what is held until it is stale.
func (r *Ring) current(ctx context.Context) (*held, error) {
	h := r.held.Load()
	age := time.Since(h.read)
	if age < fresh {
		return h, nil
	}
	if !r.reading.TryLock() {
		if age < stale {
			return h, nil
		}
		r.reading.Lock()
	}
	defer r.reading.Unlock()
	if h = r.held.Load(); time.Since(h.read) < fresh {
		return h, nil
	}
	if err := r.reload(ctx); err != nil {
		if age < stale {
			return h, nil
		}
		return nil, err
	}
	return r.held.Load(), nil
}

func (r *Ring) stored(ctx context.Context) (all []store.SigningKey, err error) {
	err = r.db.ViewOnce(ctx, func(tx store.Tx) error {
		all, err = tx.SigningKeys(ctx)
		return err
	})
	return all, err
}

// first makes the first key.
func (r *Ring) first(ctx context.Context) ([]store.SigningKey, error) {
	now := r.now().UTC()
	if _, err := r.add(ctx, 1, RS256, now, now, change{}); err != nil && !errors.Is(err, store.ErrExists) {
		return nil, err
	}
	return r.stored(ctx)
}

// A change is what happens in the commit that adds a key.
type change struct {
	retire []store.SigningKey
	events []audit.Event
	by     audit.Event // who asked for it, if anybody did
}

// add stores key number n, and retires others in the same commit. The key is made before the transaction
// and its id follows from the organisation and its number: of several processes that add the same one, the
// first does, and the others are told that it exists.
func (r *Ring) add(ctx context.Context, n int, alg string, created, from time.Time, c change) (kid string, err error) {
	der, err := generate(alg)
	if err != nil {
		return "", err
	}
	err = r.db.Update(ctx, func(tx store.Tx) error {
		org, err := tx.OrgID(ctx)
		if err != nil {
			return err
		}
		kid = keyID(org, n)
		if err := tx.AddSigningKey(ctx, store.SigningKey{ID: kid, Alg: alg, Private: der, Created: created, From: from}); err != nil {
			return err
		}
		for _, old := range c.retire {
			if err := tx.PutSigningKey(ctx, old); err != nil {
				return err
			}
		}
		for _, e := range append(slices.Clone(c.events), audit.Event{Type: audit.SigningKeyCreated, OK: true, Target: kid}) {
			e.At, e.Actor, e.Source = created, c.by.Actor, c.by.Source
			if err := tx.Record(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	return kid, err
}

// generate makes a private key, as PKCS #8.
func generate(alg string) ([]byte, error) {
	var private any
	var err error
	switch alg {
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, bits)
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return nil, fmt.Errorf("keys: %q is not an algorithm that we sign with: %s or %s", alg, RS256, ES256)
	}
	if err != nil {
		return nil, fmt.Errorf("keys: making a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return der, nil
}

// keyID names a key in lower-case letters and digits. okta-jwt-verifier-golang decodes the token's header
// as standard base64, so nothing in it may come out as - or _; letters and digits never do.
func keyID(org string, n int) string {
	sum := sha256.Sum256([]byte("signing key " + strconv.Itoa(n) + " of " + org))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10]))
}

func newKey(s store.SigningKey) (*key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(s.Private)
	if err != nil {
		return nil, fmt.Errorf("keys: key %s: %w", s.ID, err)
	}
	k := &key{id: s.ID, alg: jose.SignatureAlgorithm(s.Alg)}
	switch private := parsed.(type) {
	case *rsa.PrivateKey:
		if s.Alg != RS256 || private.N.BitLen() < bits {
			return nil, fmt.Errorf("keys: key %s is an RSA key of %d bits for %q, want %d or more for %s", s.ID, private.N.BitLen(), s.Alg, bits, RS256)
		}
		k.public = &private.PublicKey
	case *ecdsa.PrivateKey:
		if s.Alg != ES256 || private.Curve != elliptic.P256() {
			return nil, fmt.Errorf("keys: key %s is a key on %s for %q, want P-256 for %s", s.ID, private.Params().Name, s.Alg, ES256)
		}
		k.public = &private.PublicKey
	default:
		return nil, fmt.Errorf("keys: key %s is for %q, which this version does not know", s.ID, s.Alg)
	}
	// No options: the signer must not add typ.
	k.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: k.alg, Key: jose.JSONWebKey{Key: parsed, KeyID: s.ID}}, nil)
	if err != nil {
		return nil, fmt.Errorf("keys: key %s: %w", s.ID, err)
	}
	k.header = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":%q,"kid":%q}`, s.Alg, s.ID))
	return k, nil
}

// A Signer signs with the key whose turn it was when it was asked for. All that can fail for want of a
// database has happened by then, so a code can be spent before what it buys is signed.
type Signer struct {
	ring *Ring
	key  *key
}

// Signer returns the key whose turn it is.
func (r *Ring) Signer(ctx context.Context) (Signer, error) {
	h, err := r.current(ctx)
	if err != nil {
		return Signer{}, err
	}
	s, ok := signing(h.all, r.now())
	if !ok {
		return Signer{}, errors.New("keys: there is no key to sign with")
	}
	return Signer{r, h.keys[s.ID]}, nil
}

// Sign returns claims as a compact JWS whose header is alg and kid and nothing else.
func (s Signer) Sign(claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("keys: %w", err)
	}
	jws, err := s.key.signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("keys: signing with %s: %w", s.key.id, err)
	}
	token, err := jws.CompactSerialize()
	if err == nil {
		s.ring.verdicts.add(sha256.Sum256([]byte(token)), nil) // it will be shown to us soon
	}
	return token, err
}

// MaxToken is the longest token that is looked at.
const MaxToken = 16 << 10

// Verify returns the claims of a token that a published key of ours signed. Whether they are good for
// anything is for the caller to judge. What it returns is remembered: do not change what it points to.
func Verify[T any](ctx context.Context, r *Ring, token string) (claims T, err error) {
	digest, err := r.verify(ctx, token)
	if err != nil {
		return claims, err
	}
	if known, ok := r.verdicts.claims(digest).(T); ok {
		return known, nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		var none T
		return none, ErrInvalid
	}
	r.verdicts.add(digest, claims)
	return claims, nil
}

// verify judges the signature and returns the digest under which the verdict is remembered. The key is
// found by the whole header, which must be the very one that we write: alg belongs to the key and not to
// the token, and jwk, jku, x5u, crit and typ never get as far as being read (S-62).
func (r *Ring) verify(ctx context.Context, token string) (digest [sha256.Size]byte, err error) {
	header, _, ok := strings.Cut(token, ".")
	if !ok || len(token) > MaxToken {
		return digest, ErrInvalid
	}
	h, err := r.current(ctx)
	if err != nil {
		return digest, err
	}
	k := h.header[header]
	if k == nil || !published(h.all, k.id, r.now()) {
		return digest, ErrInvalid
	}
	digest = sha256.Sum256([]byte(token))
	if r.verdicts.good(digest) {
		return digest, nil
	}
	if !k.signed(token) {
		return digest, ErrInvalid
	}
	r.verdicts.add(digest, nil)
	return digest, nil
}

// signed reports that a compact JWS has the key's signature. There is no header left to read: it is our own, byte
// for byte, and so all that a JOSE library would do here is what it says in RFC 7518 3.3 and 3.4.
func (k *key) signed(token string) bool {
	end := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.Strict().DecodeString(token[end+1:])
	if err != nil || strings.Count(token, ".") != 2 || strings.ContainsAny(token, "\r\n") { // which the decoder would skip
		return false
	}
	digest := sha256.Sum256([]byte(token[:end]))
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		return len(signature) == 64 && ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	}
	return false
}

// JWKS returns the published keys as a JWK set. The bytes are made once per reading; do not change them.
func (r *Ring) JWKS(ctx context.Context) ([]byte, error) {
	h, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	return h.jwks, nil
}

// Algorithms are those of the published keys, for the metadata.
func (r *Ring) Algorithms(ctx context.Context) ([]string, error) {
	h, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	var algs []string
	for _, s := range h.all {
		if published(h.all, s.ID, r.now()) && !slices.Contains(algs, s.Alg) {
			algs = append(algs, s.Alg)
		}
	}
	slices.Sort(algs)
	return algs, nil
}

// publish writes the JWK set: kty, kid, use, alg, and n and e or crv, x and y, all of which some client insists
// on, and no key_ops.
func (h *held) publish(now time.Time) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, s := range h.all {
		if published(h.all, s.ID, now) {
			set.Keys = append(set.Keys, jose.JSONWebKey{
				Key: h.keys[s.ID].public, KeyID: s.ID, Algorithm: s.Alg, Use: "sig",
			})
		}
	}
	return json.Marshal(set)
}
