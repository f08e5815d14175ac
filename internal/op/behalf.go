package op

import (
	"context"
	"net/netip"
	"slices"

	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
)

// An application that signs people in on its own server speaks for all of them from one address. If it has
// proved who it is, it is believed whose address it speaks for, and by what name it knows their device;
// else everybody who uses it would share one allowance of wrong passwords, and any of them could use it up
// (S-26, S-27). It is a matter of this one sign-in: in the log the request still comes from the application.

// spokenFor is the address of the person that the application tells, or empty. Proxies of ours between it and us have
// added the application's own behind it, and then those of one another: what it told ends where it stands itself. If it
// called us without any, nobody added anything, and the last address is what it told.
func spokenFor(c *call) string {
	itself, hops := obs.SourceOf(c.Context()).Address, obs.Hops(c.Header.Values("X-Forwarded-For"))
	isItself := func(hop netip.Addr) bool { return hop.IsValid() && hop.String() == itself }
	if peer, ok := obs.Hop(c.RemoteAddr); !ok || peer.String() != itself {
		for i, hop := range slices.Backward(hops) {
			if isItself(hop) {
				hops = hops[:i]
				break
			}
		}
	}
	for _, hop := range slices.Backward(hops) {
		switch {
		case !hop.IsValid():
			return ""
		case !isItself(hop):
			return hop.String()
		}
	}
	return ""
}

// onDevice is the context of a sign-in on the device that the application tells.
func onDevice(c *call) context.Context {
	return engine.WithDevice(c.Context(), engine.Device{Token: secret.Text(c.Header.Get("X-Device-Token"))})
}
