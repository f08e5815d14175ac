// Package obs owns what a request carries along to be seen by: its id, its source, its log.
//
// The server puts an [audit.Source] into the context; whoever records an event or writes a log line
// takes it from there.
package obs

import (
	"context"
	"log/slog"

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

// Attrs are the attributes that every log line of a request has.
func Attrs(ctx context.Context) slog.Attr {
	s := SourceOf(ctx)
	return slog.Group("request", slog.String("id", s.RequestID), slog.String("address", s.Address))
}
