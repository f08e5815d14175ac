package main

import (
	"strings"
	"testing"

	"latchkey.dev/internal/config"
)

// The runtime is told of twice the cores, and what is counted by the core must not be.
func TestS01_HashesAtOnce(t *testing.T) {
	defer fitRuntime()()
	c, err := fitted(config.Config{})
	if err != nil || c.Hashes != cores || c.Limits.Requests.AtOnce != 256*cores {
		t.Errorf("%d hashes and %d requests at once on %d cores, %v", c.Hashes, c.Limits.Requests.AtOnce, cores, err)
	}
	if c, err = fitted(config.Config{Hashes: 2 * cores}); err != nil || c.Hashes != 2*cores {
		t.Errorf("twice the cores: %d, %v", c.Hashes, err)
	}
	if _, err = fitted(config.Config{Hashes: 2*cores + 1}); err == nil || !strings.HasPrefix(err.Error(), "hashes: ") {
		t.Errorf("more: %v", err)
	}
}
