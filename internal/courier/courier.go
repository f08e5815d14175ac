// Package courier makes the HTTP calls of gateways, and owns what may be said about how they went.
//
// A carrier is a stranger who is handed a phone number, a code and our credentials. So a [Line] to one goes
// where the configuration says and nowhere else: over TLS unless it stays on the machine, and following no
// redirect. It reads a bounded answer, ends with its context, and tells what went wrong in an error that
// holds neither number nor text nor secret, however the carrier quotes them back at us (S-72). What a carrier
// wants to be asked, and what its answers mean, is the gateways' to know.
package courier

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

// longest is how much of an answer is read. Those that mean something are a few hundred bytes.
const longest = 64 << 10

// A Line leads to one carrier.
type Line struct {
	name   string
	client *http.Client
	hush   []string
}

// New opens a line. The name goes before every error; the secrets go into none.
func New(name string, secrets ...secret.Text) *Line {
	// A proxy is taken from the environment after all: in many data centres it is the only way out, and where
	// every program looks for it.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = longest
	transport.MaxIdleConnsPerHost = 16 // codes come in bursts, and a handshake costs more than an idle connection
	return &Line{
		name: name,
		hush: spellings(secrets...),
		client: &http.Client{
			Transport: transport,
			// A redirect would hand the text, and what signs it, to an address nobody configured.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Name is how logs call the line.
func (l *Line) Name() string { return l.name }

// An Answer is what a carrier said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK reports whether the status says that all went well.
func (a Answer) OK() bool { return a.Status/100 == 2 }

// Read decodes a JSON answer. A carrier may always say more than we know of.
func (a Answer) Read(into any) error { return json.Unmarshal(a.Body, into) }

// Post hands something over for the text t and returns what the carrier said to it, whatever that is.
func (l *Line) Post(ctx context.Context, t gateway.Text, to string, header http.Header, body []byte) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Answer{}, l.lost(ctx, t, err)
	}
	req.Header = header
	req.Header.Set("User-Agent", "latchkey")
	resp, err := l.client.Do(req)
	if err != nil {
		return Answer{}, l.lost(ctx, t, err)
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Status/100 == 3 {
		return a, l.Fail(t, a, "", "redirects are not followed")
	}
	if a.Body, err = io.ReadAll(io.LimitReader(resp.Body, longest+1)); err != nil {
		return a, l.lost(ctx, t, err)
	}
	if len(a.Body) > longest {
		return a, l.Fail(t, a, "", "the answer has no end")
	}
	return a, nil
}

// Fail is the error for an answer that means no, in the carrier's code and words if it used any.
func (l *Line) Fail(t gateway.Text, a Answer, code, said string) error {
	return errors.New(l.tell(t, a, code, said))
}

// Refuse is Fail for a no that holds for this number for good.
func (l *Line) Refuse(t gateway.Text, a Answer, code, said string) error {
	return fmt.Errorf("%s: %w", l.tell(t, a, code, said), gateway.ErrRefused)
}

// Alien is the error for an answer that is not in the carrier's language: a proxy's page, half a document.
func (l *Line) Alien(t gateway.Text, a Answer) error {
	kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	return l.Fail(t, a, "", "not an answer of this interface, but "+cmp.Or(kind, "something without a type"))
}

// WrongChannel is the error for a text that the carrier has no way to carry.
func (l *Line) WrongChannel(t gateway.Text) error {
	return fmt.Errorf("%s: carries text messages only, and this is for the channel %q", l.name, t.Channel)
}

func (l *Line) tell(t gateway.Text, a Answer, code, said string) string {
	told := fmt.Sprintf("%s: answered %d", l.name, a.Status)
	if code = l.codeword(t, code); code != "" {
		told += " " + code
	}
	if said = l.quote(t, said); said != "" {
		told += ": " + said
	}
	return told
}

// lost is the error for a call that brought no answer. Why a connection broke is for the log to know; what
// the carrier sent instead of HTTP may hold anything, and is quoted with care.
func (l *Line) lost(ctx context.Context, t gateway.Text, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%s: no answer: %w", l.name, ended)
	}
	var where *url.Error
	if errors.As(err, &where) {
		err = where.Err // without the address, which may hold a secret
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return fmt.Errorf("%s: no answer: %w", l.name, network)
	}
	return fmt.Errorf("%s: no answer: %s", l.name, l.quote(t, err.Error()))
}
