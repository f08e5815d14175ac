// Package webhook hands texts to a service of the operator's own, which carries them however it likes.
//
// It follows Standard Webhooks (https://www.standardwebhooks.com), so that there is a library to check the
// signature in most languages. URL is where to, Secrets are the shared secrets (whsec_ and base64 of 24 to 64
// random bytes): each signs, so that the far end may know the old one or the new one while they change. Headers
// go along, for a gateway in between that wants a key. The request:
//
//	POST /your/path
//	Webhook-Id: msg...                      the same for the same text: the idempotency key
//	Idempotency-Key: msg...                 once more, for those who look there
//	Webhook-Timestamp: 1772600767           seconds; old ones are replays
//	Webhook-Signature: v1,base64 v1,base64  HMAC-SHA256 of "id.timestamp.body"
//
//	{"type": "message.send", "timestamp": "2026-03-04T05:06:07Z", "data": {
//	 "id": "msg...", "channel": "sms", "to": "+12025550143", "body": "...", "not_after": "2026-03-04T05:11:07Z"}}
//
// The answer is any 2xx once the text is taken, with no body or {"status": "accepted"}. A number that will never
// get it is {"status": "refused"}, with any status; everything else is tried again, here or elsewhere. A
// "message" beside the status goes to the log.
//
// Where data has a member "report", that is an address at which we like to hear later what became of the text:
// POST {"status": "delivered"} or {"status": "undelivered"}, with the three Webhook- headers made in the same
// way as ours, with one of the secrets.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

// Config is what the far end and we agree on. The package comment says what it means.
type Config struct {
	Name    string // in logs; webhook if empty
	URL     string
	Secrets []secret.Text // newest first
	Headers courier.Headers
	Now     func() time.Time
}

// Check reports every problem at once.
func (c Config) Check() error {
	var bad []error
	if err := courier.CheckURL(c.URL); err != nil {
		bad = append(bad, fmt.Errorf("webhook: the URL %w", err))
	}
	if len(c.Secrets) == 0 {
		bad = append(bad, errors.New("webhook: a secret is missing: without a signature anybody could send in our name"))
	}
	for i, s := range c.Secrets {
		if _, err := keyOf(s); err != nil {
			bad = append(bad, fmt.Errorf("webhook: secret %d %w", i+1, err))
		}
	}
	if err := c.Headers.Check(); err != nil {
		bad = append(bad, fmt.Errorf("webhook: %w", err))
	}
	return errors.Join(bad...)
}

// A key signs.
type key []byte

func keyOf(s secret.Text) (key, error) {
	encoded, ok := strings.CutPrefix(s.Reveal(), "whsec_")
	k, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(k) < 24 || len(k) > 64 {
		return nil, errors.New("is not whsec_ and the base64 of 24 to 64 random bytes")
	}
	return k, nil
}

// sign is a signature of version 1.
func (k key) sign(id string, at time.Time, body []byte) string {
	h := hmac.New(sha256.New, k)
	fmt.Fprintf(h, "%s.%d.%s", id, at.Unix(), body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// A Gateway hands texts over.
type Gateway struct {
	Config
	keys []key
	line *courier.Line
}

// New makes a gateway of a sound configuration.
func New(c Config) (*Gateway, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Name = cmp.Or(c.Name, "webhook")
	hush := slices.Concat(c.Secrets, c.Headers.Secrets(), courier.SecretsOf(c.URL))
	g := &Gateway{Config: c, line: courier.New(c.Name, hush...)}
	for _, s := range c.Secrets {
		k, err := keyOf(s)
		if err != nil {
			return nil, err
		}
		g.keys = append(g.keys, k)
	}
	return g, nil
}

// Name is how logs call this gateway.
func (g *Gateway) Name() string { return g.Config.Name }

// event is the body of a request.
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      message   `json:"data"`
}

type message struct {
	ID       string    `json:"id"`
	Channel  string    `json:"channel"`
	To       string    `json:"to"`
	Body     string    `json:"body"`
	NotAfter time.Time `json:"not_after,omitzero"`
	Report   string    `json:"report,omitempty"`
}

// Send hands the text over. All channels go the same way: the far end can tell them apart.
func (g *Gateway) Send(ctx context.Context, t gateway.Text) error {
	now := g.Now().UTC()
	body, err := json.Marshal(event{"message.send", now, message{
		ID: t.ID, Channel: t.Channel, To: t.To.Reveal(), Body: t.Body.Reveal(), NotAfter: t.NotAfter.UTC(), Report: t.Report,
	}})
	if err != nil {
		return fmt.Errorf("%s: %w", g.Name(), err)
	}
	var signatures []string
	for _, k := range g.keys {
		signatures = append(signatures, k.sign(t.ID, now, body))
	}
	answer, err := g.line.Post(ctx, t, g.URL, g.Headers.Join(http.Header{
		"Content-Type":      {"application/json"},
		"Accept":            {"application/json"},
		"Idempotency-Key":   {t.ID},
		"Webhook-Id":        {t.ID},
		"Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)},
		"Webhook-Signature": {strings.Join(signatures, " ")},
	}), body)
	if err != nil {
		return err
	}
	return g.judge(t, answer)
}

func (g *Gateway) judge(t gateway.Text, a courier.Answer) error {
	var said struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	err := a.Read(&said)
	switch {
	case err == nil && said.Status == "refused":
		return g.line.Refuse(t, a, said.Status, said.Message)
	case !a.OK():
		return g.line.Fail(t, a, said.Status, said.Message)
	case len(bytes.TrimSpace(a.Body)) == 0, err == nil && said.Status == "accepted":
		return nil
	case err == nil && said.Status == "failed":
		return g.line.Fail(t, a, said.Status, said.Message)
	}
	return g.line.Alien(t, a)
}

// drift is how far the far end's clock and ours may be apart.
const drift = 5 * time.Minute

// Read judges a report.
func (g *Gateway) Read(r gateway.Report) (gateway.Outcome, error) {
	var said struct {
		Status string `json:"status"`
	}
	if !g.signed(r) || json.Unmarshal(r.Body, &said) != nil {
		return gateway.Pending, gateway.ErrForged
	}
	switch said.Status {
	case "delivered":
		return gateway.Arrived, nil
	case "undelivered":
		return gateway.Lost, nil
	case "":
		return gateway.Pending, gateway.ErrForged
	}
	return gateway.Pending, nil
}

func (g *Gateway) signed(r gateway.Report) bool {
	h := http.Header(r.Header)
	seconds, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	at := time.Unix(seconds, 0)
	if err != nil || g.Now().Sub(at).Abs() > drift {
		return false
	}
	for _, signature := range strings.Fields(h.Get("Webhook-Signature")) {
		for _, k := range g.keys {
			if hmac.Equal([]byte(signature), []byte(k.sign(h.Get("Webhook-Id"), at, r.Body))) {
				return true
			}
		}
	}
	return false
}

var _ gateway.Reporter = (*Gateway)(nil)
