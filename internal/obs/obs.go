// Package obs owns what a request carries along to be seen by: its id, its source, its log.
//
// The server puts an [audit.Source] into the context; whoever records an event or writes a log line
// takes it from there.
package obs

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"

	"latchkey.dev/internal/audit"
)

type sourceKey struct{}

// WithSource returns a context that knows where the request came from.
func WithSource(ctx context.Context, s audit.Source) context.Context {
	return context.WithValue(ctx, sourceKey{}, s)
}

// SourceOf returns where the request came from; zero outside a request.
func SourceOf(ctx context.Context) audit.Source {
	s, _ := ctx.Value(sourceKey{}).(audit.Source)
	return s
}

// Hops are the addresses that all X-Forwarded-For of a request name, the last one added last. What is no address is the
// invalid one.
func Hops(forwarded []string) []netip.Addr {
	var hops []netip.Addr
	for hop := range strings.SplitSeq(strings.Join(forwarded, ","), ",") {
		addr, _ := Hop(hop)
		hops = append(hops, addr)
	}
	return hops
}

// Hop reads one address, with a port or without: proxies write both.
func Hop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if with, err := netip.ParseAddrPort(s); err == nil {
		return with.Addr().Unmap().WithZone(""), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(inner, "]")
	}
	addr, err := netip.ParseAddr(s)
	return addr.Unmap().WithZone(""), err == nil
}

// Attrs are the attributes that every log line of a request has.
func Attrs(ctx context.Context) slog.Attr {
	s := SourceOf(ctx)
	return slog.Group("request", slog.String("id", s.RequestID), slog.String("address", s.Address))
}
