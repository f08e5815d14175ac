package keys

import "sync"

// verdicts remembers the digests of tokens whose signature was found right, and what such a token says
// once somebody has read it. Neither ever changes, so a token that is shown with every request of a page
// is verified and read once. What does change - expiry, revocation, whether the key is still published -
// is judged every time.
//
// It is bounded by two generations: when the young one is full it becomes the old one, which is dropped.
type verdicts struct {
	mu         sync.Mutex
	young, old map[[32]byte]any
}

const generation = 2048

// good reports whether the token's signature was found right.
func (v *verdicts) good(digest [32]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.young[digest]; ok {
		return true
	}
	claims, ok := v.old[digest]
	if ok {
		v.put(digest, claims) // still in use: do not let it age
	}
	return ok
}

// claims returns what the token says, or nil if nobody has read it.
func (v *verdicts) claims(digest [32]byte) any {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.young[digest]
}

func (v *verdicts) add(digest [32]byte, claims any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.put(digest, claims)
}

func (v *verdicts) put(digest [32]byte, claims any) {
	if len(v.young) >= generation {
		v.young, v.old = nil, v.young
	}
	if v.young == nil {
		v.young = map[[32]byte]any{}
	}
	v.young[digest] = claims
}
