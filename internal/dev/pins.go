package dev

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/gateway/outbox"
)

// A Pin fixes the code of all numbers that are like a pattern.
type Pin struct {
	Pattern string `json:"pattern"`
	Code    string `json:"code"`
}

// Pins are the codes that are known beforehand, so that a test in a browser need not read the outbox.
type Pins struct {
	mu   sync.Mutex
	pins []Pin
}

// Code returns the pinned code of a number; of several patterns the one that was set last counts.
func (p *Pins) Code(number string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pin := range slices.Backward(p.pins) {
		if outbox.Match(pin.Pattern, number) {
			return pin.Code, true
		}
	}
	return "", false
}

// Put pins a code.
func (p *Pins) Put(pin Pin) error {
	if err := checkPattern(pin.Pattern); err != nil {
		return err
	}
	if !phone.WellFormed(pin.Code) {
		return fmt.Errorf("a code is %d digits", phone.Digits)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pins = append(without(p.pins, pin.Pattern), pin)
	return nil
}

// Drop forgets one pattern, or all if it is empty.
func (p *Pins) Drop(pattern string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pins = without(p.pins, pattern)
}

// All lists the pins, oldest first.
func (p *Pins) All() []Pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Pin{}, p.pins...)
}

func without(pins []Pin, pattern string) []Pin {
	return slices.DeleteFunc(slices.Clone(pins), func(p Pin) bool { return pattern == "" || p.Pattern == pattern })
}

// checkPattern refuses what can match no number: better an error now than a pin that never works.
func checkPattern(pattern string) error {
	if pattern == "" || strings.Trim(pattern, "+0123456789*") != "" {
		return fmt.Errorf("%q is not a pattern like +12025550143 or +1202*", pattern)
	}
	return nil
}
