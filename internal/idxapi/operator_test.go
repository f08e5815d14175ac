package idxapi_test

import (
	"testing"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/org"
)

// TestS79_WhatAnOperatorDoesEndsOpenSignIns: a sign-in that waits for its code is over at the next step once its
// user is sent away, its application is gone, or what was proved in it was replaced.
func TestS79_WhatAnOperatorDoesEndsOpenSignIns(t *testing.T) {
	const paul, client = "paul@example.com", "0oa1seed"
	for name, do := range map[string]func(*org.Org) error{
		"the user is disabled":        func(o *org.Org) error { _, err := o.Disable(t.Context(), paul); return err },
		"the user is deleted":         func(o *org.Org) error { return o.DeleteUser(t.Context(), paul) },
		"the password is another one": func(o *org.Org) error { _, err := o.SetPassword(t.Context(), paul, "green tractor 19"); return err },
		"the application is deleted":  func(o *org.Org) error { return o.DeleteApp(t.Context(), client) },
		"the application is disabled": func(o *org.Org) error {
			_, err := o.SetApp(t.Context(), client, func(a *org.App) { a.Disabled = true })
			return err
		},
		"nothing happens": nil,
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t)
			v := h.atCode()
			h.advance(time.Second)
			if do == nil {
				v.code(h.pocket.code()).want(t, 200)
				return
			}
			o := org.New(org.Config{Store: h.db, Passwords: password.Params{Memory: 64, Time: 1, Threads: 1}, Now: h.clock, Actor: "test"})
			if err := do(o); err != nil {
				t.Fatal(err)
			}
			v.code(h.pocket.code()).expired(t)
		})
	}
}
