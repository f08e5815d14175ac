package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"latchkey.dev/internal/config"
	"latchkey.dev/internal/obs"
)

// tracerOf makes the tracer that the configuration asks for, nil if none, and what ends it: it sends what is left.
func tracerOf(c config.Traces, log *slog.Logger) (trace.Tracer, func(context.Context) error) {
	if c.OTLP == "" {
		return nil, func(context.Context) error { return nil }
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces were not sent", "error", err) }))
	version, _ := versionOf()
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.Sample))),
		sdk.WithBatcher(&otlp{url: c.OTLP, client: &http.Client{Timeout: 10 * time.Second}}, sdk.WithBatchTimeout(2*time.Second)),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "latchkey"), attribute.String("service.version", version))),
	)
	return provider.Tracer(obs.Scope), provider.Shutdown
}

// otlp sends spans as OTLP 1.0 in its JSON form. The protobuf form needs a library that makes every process 5 MB
// larger, for a hundred lines.
type otlp struct {
	url    string
	client *http.Client
}

// The part of opentelemetry/proto/trace/v1 that we have something to say in.
type (
	otlpValue struct {
		String string `json:"stringValue,omitempty"`
		Int    string `json:"intValue,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpStatus struct {
		Code int `json:"code,omitempty"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		ParentID   string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Status     otlpStatus      `json:"status"`
	}
	otlpScope struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpResource struct {
		Resource struct {
			Attributes []otlpAttribute `json:"attributes"`
		} `json:"resource"`
		ScopeSpans []otlpScope `json:"scopeSpans"`
	}
	otlpRequest struct {
		ResourceSpans []otlpResource `json:"resourceSpans"`
	}
)

// ExportSpans implements [sdk.SpanExporter]. What a collector does not take is lost: traces are for looking, and
// nobody waits for them.
func (o *otlp) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := json.Marshal(requestOf(spans))
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := o.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the trace collector answered %s", response.Status)
	}
	return nil
}

// Shutdown implements [sdk.SpanExporter].
func (o *otlp) Shutdown(context.Context) error { return nil }

func requestOf(spans []sdk.ReadOnlySpan) otlpRequest {
	var scope otlpScope
	scope.Scope.Name = obs.Scope
	for _, s := range spans {
		one := otlpSpan{
			TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(), Name: s.Name(), Kind: int(s.SpanKind()),
			Start: strconv.FormatInt(s.StartTime().UnixNano(), 10), End: strconv.FormatInt(s.EndTime().UnixNano(), 10),
			Attributes: attributesOf(s.Attributes()),
		}
		if s.Parent().SpanID().IsValid() {
			one.ParentID = s.Parent().SpanID().String()
		}
		switch s.Status().Code { // OTLP numbers them otherwise
		case codes.Ok:
			one.Status.Code = 1
		case codes.Error:
			one.Status.Code = 2
		}
		scope.Spans = append(scope.Spans, one)
	}
	var all otlpResource
	all.Resource.Attributes = attributesOf(spans[0].Resource().Attributes())
	all.ScopeSpans = []otlpScope{scope}
	return otlpRequest{[]otlpResource{all}}
}

func attributesOf(all []attribute.KeyValue) (said []otlpAttribute) {
	for _, a := range all {
		v := otlpValue{String: a.Value.String()}
		if a.Value.Type() == attribute.INT64 {
			v = otlpValue{Int: v.String}
		}
		said = append(said, otlpAttribute{string(a.Key), v})
	}
	return said
}
