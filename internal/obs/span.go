package obs

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Scope is what our spans are said to be made by.
const Scope = "latchkey.dev"

// A Span is a part of a request that is timed; the zero Span is none, and does nothing. What is said of it must
// be of few kinds and never secret (S-72): names of routes, steps, gateways and outcomes, no ids, no addresses.
type Span struct{ span trace.Span }

// Begin begins a part of what ctx is doing, if that is being traced. Where nothing is traced it costs one look
// into the context.
func Begin(ctx context.Context, name string) (context.Context, Span) {
	outer := trace.SpanFromContext(ctx)
	if !outer.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := outer.TracerProvider().Tracer(Scope).Start(ctx, name)
	return ctx, Span{span}
}

// Call begins a part that waits for somebody else: a database, a gateway.
func Call(ctx context.Context, name string) (context.Context, Span) {
	outer := trace.SpanFromContext(ctx)
	if !outer.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := outer.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, Span{span}
}

// Say adds a word about the part.
func (s Span) Say(key, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Count adds a number.
func (s Span) Count(key string, n int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(key, n))
	}
}

// Fail marks the part as failed. What the error says stays out of the trace: it may quote what somebody typed.
func (s Span) Fail() {
	if s.span != nil {
		s.span.SetStatus(codes.Error, "")
	}
}

// End ends the part; an error marks it as failed.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		s.Fail()
	}
	s.span.End()
}
