// Package vonage carries text messages by Vonage's Messages API, version 1.
//
// It is the interface that Vonage recommends for new integrations; its older SMS API is not spoken here. APIKey
// and APISecret are those of the account (its API settings have to name the Messages API), From is a number
// or a sender's name of the account. URL leads to a region, https://api-eu.vonage.com for one. A text that is
// still on its way when its code is dead is given up (ttl).
//
// The API knows no idempotency key: a text whose answer got lost may arrive twice, with the same code. The
// message's id goes along as client_ref, for reports. Whether a number is barred, Vonage may find out only
// after it took the text. It reports that to the address which goes along, too (webhook_url), signed with
// SignatureSecret; without it the address alone, which nobody else knows, has to do.
package vonage

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

// Config is what Vonage has to be told. The package comment says what it means.
type Config struct {
	Name      string // in logs; vonage if empty
	URL       string // https://api.nexmo.com if empty
	APIKey    string
	APISecret secret.Text
	From      string
	Now       func() time.Time

	SignatureSecret secret.Text // of signed webhooks; may be empty
}

// Check reports every problem at once.
func (c Config) Check() error {
	var bad []error
	if err := courier.CheckURL(c.url()); err != nil {
		bad = append(bad, fmt.Errorf("vonage: the URL %w", err))
	}
	if c.APIKey == "" || strings.Contains(c.APIKey, ":") { // RFC 7617: a colon would end it
		bad = append(bad, errors.New("vonage: the API key is missing, or holds a colon"))
	}
	if c.APISecret == "" {
		bad = append(bad, errors.New("vonage: the API secret is missing"))
	}
	if c.From == "" {
		bad = append(bad, errors.New("vonage: messages need a sender"))
	}
	return errors.Join(bad...)
}

func (c Config) url() string { return strings.TrimSuffix(cmp.Or(c.URL, "https://api.nexmo.com"), "/") }

// A Gateway carries texts by Vonage.
type Gateway struct {
	Config
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
	c.Name = cmp.Or(c.Name, "vonage")
	return &Gateway{c, courier.New(c.Name, c.APISecret, c.SignatureSecret, c.credentials())}, nil
}

// Name is how logs call this gateway.
func (g *Gateway) Name() string { return g.Config.Name }

// credentials are what Basic authentication (RFC 7617) is asked for.
func (c Config) credentials() secret.Text { return secret.Text(c.APIKey + ":" + c.APISecret.Reveal()) }

// message is the body of a request. Numbers go without a plus.
type message struct {
	Type      string `json:"message_type"`
	Channel   string `json:"channel"`
	To        string `json:"to"`
	From      string `json:"from"`
	Text      string `json:"text"`
	TTL       int    `json:"ttl,omitempty"` // seconds
	ClientRef string `json:"client_ref,omitempty"`

	WebhookURL     string `json:"webhook_url,omitempty"`
	WebhookVersion string `json:"webhook_version,omitempty"`
}

// Send hands the text to Vonage.
func (g *Gateway) Send(ctx context.Context, t gateway.Text) error {
	if t.Channel != "sms" {
		return g.line.WrongChannel(t)
	}
	m := message{
		Type:      "text",
		Channel:   "sms",
		To:        strings.TrimPrefix(t.To.Reveal(), "+"),
		From:      strings.TrimPrefix(g.From, "+"),
		Text:      t.Body.Reveal(),
		TTL:       int(t.Life(g.Now(), time.Second, 20*time.Second, 7*24*time.Hour).Seconds()),
		ClientRef: t.ID,
	}
	if t.Report != "" {
		m.WebhookURL, m.WebhookVersion = t.Report, "v1"
	}
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("%s: %w", g.Name(), err)
	}
	answer, err := g.line.Post(ctx, t, g.url()+"/v1/messages", http.Header{
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(g.credentials().Reveal()))},
		"Content-Type":  {"application/json"},
		"Accept":        {"application/json"},
	}, body)
	if err != nil {
		return err
	}
	return g.judge(t, answer)
}

// judge reads Vonage's answer: the message it made, or a problem (RFC 7807) whose type ends in the error code.
func (g *Gateway) judge(t gateway.Text, a courier.Answer) error {
	if a.OK() {
		var made struct {
			ID string `json:"message_uuid"`
		}
		if err := a.Read(&made); err != nil || made.ID == "" {
			return g.line.Alien(t, a)
		}
		return nil
	}
	var problem struct {
		Type    string `json:"type"`
		Title   any    `json:"title"` // words, or the code once more
		Detail  string `json:"detail"`
		Invalid []struct {
			Name  string `json:"name"`
			Field string `json:"field"`
		} `json:"invalid_parameters"`
	}
	_ = a.Read(&problem) // the status says no, whatever the rest is
	_, code, _ := strings.Cut(problem.Type, "#")
	said := problem.Detail
	if title, ok := problem.Title.(string); ok {
		said = title + ": " + said
	}
	if slices.Contains(refusals, code) {
		return g.line.Refuse(t, a, code, said)
	}
	for _, p := range problem.Invalid {
		if p.Name == "to" || p.Field == "to" {
			return g.line.Refuse(t, a, code, said)
		}
	}
	return g.line.Fail(t, a, code, said)
}

// refusals are the codes that follow from the number: https://developer.vonage.com/en/api-errors/messages.
var refusals = []string{
	"1040", // unknown prefix
	"1050", // barred
	"1160", // not among the numbers this account may send to
	"1170", // no number
	"1190", // no more in use
	"1200", // lost between two carriers
	"1240", // has asked to get nothing more
	"1250", // no route for this sender
	"1260", // out of reach
	"1280", // barred by its carrier
	"1300", // not in the network
	"1310", // no device for it
	"1430", // no recipient for this channel
}

// Read judges a message status webhook: https://developer.vonage.com/en/messages/concepts/message-statuses.
func (g *Gateway) Read(r gateway.Report) (gateway.Outcome, error) {
	var said struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(r.Body, &said); err != nil || said.Status == "" || !g.signed(r) {
		return gateway.Pending, gateway.ErrForged
	}
	switch said.Status {
	case "delivered", "read":
		return gateway.Arrived, nil
	case "rejected", "undeliverable":
		return gateway.Lost, nil
	}
	return gateway.Pending, nil
}

// drift is how far Vonage's clock and ours may be apart.
const drift = 5 * time.Minute

// signed checks a signed webhook: a JWT (RFC 7515, HS256) that names the body by its SHA-256.
func (g *Gateway) signed(r gateway.Report) bool {
	if g.SignatureSecret == "" {
		return true
	}
	token, ok := strings.CutPrefix(http.Header(r.Header).Get("Authorization"), "Bearer ")
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		return false
	}
	sum := hmac.New(sha256.New, []byte(g.SignatureSecret.Reveal()))
	sum.Write([]byte(parts[0] + "." + parts[1]))
	var head struct {
		Alg string `json:"alg"`
	}
	var claims struct {
		IssuedAt int64  `json:"iat"`
		Body     string `json:"payload_hash"`
	}
	body := sha256.Sum256(r.Body)
	return hmac.Equal([]byte(parts[2]), []byte(base64.RawURLEncoding.EncodeToString(sum.Sum(nil)))) &&
		part(parts[0], &head) == nil && head.Alg == "HS256" && part(parts[1], &claims) == nil &&
		claims.Body == hex.EncodeToString(body[:]) && g.Now().Sub(time.Unix(claims.IssuedAt, 0)).Abs() < drift
}

// part reads a part of a JWT.
func part(encoded string, into any) error {
	plain, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, into)
}

var _ gateway.Reporter = (*Gateway)(nil)
