package config

import (
	"strings"
	"testing"

	"latchkey.dev/internal/strict"
)

func TestS70_MasterKeysAreNamedOneWayEach(t *testing.T) {
	for name, test := range map[string]struct {
		keys []MasterKey
		bad  int
	}{
		"none":                {nil, 1},
		"each way":            {[]MasterKey{{File: "k"}, {Env: "K"}, {Command: []string{"kms", "decrypt"}}}, 0},
		"named and not given": {[]MasterKey{{}}, 1},
		"two ways":            {[]MasterKey{{File: "k", Env: "K"}, {Env: "K", Command: []string{"kms"}}}, 2},
		"an empty command":    {[]MasterKey{{Command: []string{""}}}, 1},
	} {
		p := &strict.Problems{}
		Keys{test.keys}.check(p)
		if len(p.All) != test.bad {
			t.Errorf("%s: %d problems: %v", name, len(p.All), p.Err())
		}
		for _, one := range p.All {
			if !strings.HasPrefix(one.Path, "keys.master") {
				t.Errorf("%s: a problem of %s", name, one.Path)
			}
		}
	}
}
