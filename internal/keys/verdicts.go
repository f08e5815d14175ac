package keys

import "sync"

// verdicts remembers the digests of tokens whose signature was found right. That never changes, so a
// token that is shown with every request of a page is verified once. What does change - expiry,
// revocation, whether the key is still published - is judged every time.
//
// It is bounded by two generations: when the young one is full it becomes the old one, which is dropped.
type verdicts struct {
	mu         sync.Mutex
	young, old map[[32]byte]struct{}
}

const generation = 4096

func (v *verdicts) good(digest [32]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.young[digest]; ok {
		return true
	}
	if _, ok := v.old[digest]; !ok {
		return false
	}
	v.put(digest) // still in use: do not let it age
	return true
}

func (v *verdicts) add(digest [32]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.put(digest)
}

func (v *verdicts) put(digest [32]byte) {
	if len(v.young) >= generation {
		v.young, v.old = nil, v.young
	}
	if v.young == nil {
		v.young = map[[32]byte]struct{}{}
	}
	v.young[digest] = struct{}{}
}
