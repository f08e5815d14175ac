// Package receipts is the face that carriers call: what became of a message that they took.
//
// The address of a report was given to the carrier with the message and holds a token of that message alone,
// so nobody else knows it; what a carrier signs is checked on top of that. What a report means to us is
// [Worker]'s to decide, what it means in the carrier's language the gateways'.
package receipts

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"latchkey.dev/internal/deliver"
	"latchkey.dev/internal/obs"
)

// A Worker takes reports down.
type Worker interface {
	Report(ctx context.Context, r deliver.Report) error
}

// API is the face as a handler.
type API struct {
	worker Worker
	log    *slog.Logger
	mux    *http.ServeMux
}

// New makes the face.
func New(w Worker, log *slog.Logger) *API {
	a := &API{worker: w, log: log, mux: http.NewServeMux()}
	a.mux.HandleFunc("POST "+deliver.ReportPath+"{gateway}/{message}", a.report)
	a.mux.HandleFunc("GET "+deliver.ReportPath+"{gateway}/{message}", a.report) // Kannel's
	return a
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// report answers with nothing but a status: 204 if it was understood, 404 for an address that nobody was given,
// 403 for what its carrier did not say.
func (a *API) report(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	err = a.worker.Report(r.Context(), deliver.Report{
		Gateway: r.PathValue("gateway"), Message: r.PathValue("message"), Token: r.URL.Query().Get("token"),
		Header: r.Header, Query: r.URL.Query(), Body: body,
	})
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, deliver.ErrUnknown):
		w.WriteHeader(http.StatusNotFound)
	case errors.Is(err, deliver.ErrForged):
		w.WriteHeader(http.StatusForbidden)
	default:
		a.log.ErrorContext(r.Context(), "taking down a report", "gateway", r.PathValue("gateway"), "error", err, obs.Attrs(r.Context()))
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}
