package main

import (
	"strings"
	"testing"

	"latchkey.dev/internal/config"
)

// The runtime is told of twice the cores, and what is counted by the core must not be.
func TestS01_HashesAtOnce(t *testing.T) {
	defer fitRuntime()()
	c, doubt := fitted(config.Config{})
	if doubt != "" || c.Hashes != cores || c.Limits.Requests.AtOnce != 256*cores {
		t.Errorf("%d hashes and %d requests at once on %d cores; %s", c.Hashes, c.Limits.Requests.AtOnce, cores, doubt)
	}
	if c, doubt = fitted(config.Config{Hashes: 2 * cores}); doubt != "" || c.Hashes != 2*cores {
		t.Errorf("twice the cores: %d; %s", c.Hashes, doubt)
	}
	if c, doubt = fitted(config.Config{Hashes: 2*cores + 1}); c.Hashes != 2*cores || !strings.HasPrefix(doubt, "hashes: ") {
		t.Errorf("more: %d; %s", c.Hashes, doubt)
	}
}
