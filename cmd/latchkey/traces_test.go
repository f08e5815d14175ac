package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"latchkey.dev/internal/config"
)

func TestTracesAreSentAsOTLP(t *testing.T) {
	got := make(chan otlpRequest, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body otlpRequest
		raw, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(raw, &body); err != nil || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v in %s", r.Method, r.Header.Get("Content-Type"), err, raw)
		}
		got <- body
		io.WriteString(w, "{}")
	}))
	defer collector.Close()
	tracer, flush := tracerOf(config.Traces{OTLP: collector.URL, Sample: 1}, slog.New(slog.DiscardHandler))
	ctx, outer := tracer.Start(context.Background(), "POST /x", trace.WithSpanKind(trace.SpanKindServer))
	_, inner := tracer.Start(ctx, "store.update", trace.WithSpanKind(trace.SpanKindClient))
	inner.SetAttributes(attribute.Int("again", 2), attribute.String("kind", "update"))
	inner.SetStatus(codes.Error, "")
	inner.End()
	outer.End()
	if err := flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	body := <-got
	resource := body.ResourceSpans[0]
	spans := resource.ScopeSpans[0].Spans
	if len(spans) != 2 || resource.Resource.Attributes[0].Key != "service.name" || resource.Resource.Attributes[0].Value.String != "latchkey" {
		t.Fatalf("got %+v", body)
	}
	in, out := spans[0], spans[1]
	if in.ParentID != out.SpanID || in.TraceID != out.TraceID || len(in.TraceID) != 32 || len(in.SpanID) != 16 || out.ParentID != "" {
		t.Errorf("the spans are not below each other: %+v", spans)
	}
	if in.Kind != 3 || out.Kind != 2 || in.Status.Code != 2 || out.Status.Code != 0 || in.Start > in.End {
		t.Errorf("kinds, states or times: %+v", spans)
	}
	if in.Attributes[0] != (otlpAttribute{"again", otlpValue{Int: "2"}}) || in.Attributes[1] != (otlpAttribute{"kind", otlpValue{String: "update"}}) {
		t.Errorf("attributes %+v", in.Attributes)
	}
}

func TestWithoutACollectorNothingIsTraced(t *testing.T) {
	if tracer, _ := tracerOf(config.Default().Traces, slog.New(slog.DiscardHandler)); tracer != nil {
		t.Error("there is a tracer")
	}
}
