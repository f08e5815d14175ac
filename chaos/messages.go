//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// messages is the section of latchkey.yaml that names the gateways.
func (h *house) messages() string {
	var gateways []string
	for i, c := range []*carrier{h.carrier, h.more} {
		if c != nil {
			gateways = append(gateways, fmt.Sprintf("{name: carrier%d, webhook: {url: %q, secrets: [{file: %s}]}}",
				i, c.url, filepath.Join(h.dir, "carrier.secret")))
		}
	}
	// In an hour more people sign in here than the default of an hour pays for.
	const plenty = "{hour: 1000000, day: 1000000}"
	return "messages: {gateways: [" + strings.Join(gateways, ", ") + "], budgets: {total: " + plenty + ", country: " + plenty + "}}\n"
}

// code waits for a text, whichever gateway carries it.
func (h *house) code(number string, after int, within time.Duration) (string, error) {
	if h.more == nil {
		return h.carrier.code(number, after, within)
	}
	for end := time.Now().Add(within); ; {
		for _, c := range []*carrier{h.carrier, h.more} {
			code, err := c.code(number, after, 10*time.Millisecond)
			if err == nil || time.Now().After(end) {
				return code, err
			}
		}
	}
}
