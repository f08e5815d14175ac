package op

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/secret"
)

// An application that signs people in on its own server speaks for all of them from one address. If it has
// proved who it is, it is believed whose address it speaks for, and by what name it knows their device;
// else everybody who uses it would share one allowance of wrong passwords, and any of them could use it up
// (S-26, S-27). It is a matter of this one sign-in: in the log the request still comes from the application.

// spokenFor is the address of the person that the application tells, or empty. A proxy between it and us may have
// added the application's own behind it.
func spokenFor(c *call) string {
	hops := strings.Split(strings.Join(c.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return ""
		}
		if told := addr.Unmap().WithZone("").String(); told != obs.SourceOf(c.Context()).Address {
			return told
		}
	}
	return ""
}

// onDevice is the context of a sign-in on the device that the application tells.
func onDevice(c *call) context.Context {
	return engine.WithDevice(c.Context(), engine.Device{Token: secret.Text(c.Header.Get("X-Device-Token"))})
}
