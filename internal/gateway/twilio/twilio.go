// Package twilio carries text messages by Twilio's Programmable Messaging, REST API 2010-04-01.
//
// The account is AccountSID, with its auth token as Secret; or better, because it can be withdrawn by itself,
// with an API key as KeySID and the key's secret as Secret. Messages come From a number, a short code or a
// sender's name of the account, or from whichever number MessagingServiceSID picks; one of the two is needed.
// URL leads to another edge or region, https://api.dublin.ie1.twilio.com for one. A text that is still queued
// there when its code is dead is not sent (ValidityPeriod).
//
// Twilio says what became of a text to the address it was given with it (StatusCallback), and signs that with the
// account's auth token. AuthToken is there for who sends with an API key; without it the address alone, which
// nobody else knows, has to do.
//
// The API knows no idempotency key: a text whose answer got lost may arrive twice, with the same code.
package twilio

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

// Config is what Twilio has to be told. The package comment says what it means.
type Config struct {
	Name                string // in logs; twilio if empty
	URL                 string // https://api.twilio.com if empty
	AccountSID          string // AC...
	KeySID              string // SK..., or empty
	Secret              secret.Text
	AuthToken           secret.Text // of the account, to check reports; Secret if there is no key
	From                string
	MessagingServiceSID string // MG...
	Now                 func() time.Time
}

// Check reports every problem at once.
func (c Config) Check() error {
	var bad []error
	if err := courier.CheckURL(c.url()); err != nil {
		bad = append(bad, fmt.Errorf("twilio: the URL %w", err))
	}
	if !isSID("AC", c.AccountSID) {
		bad = append(bad, errors.New("twilio: the account SID is AC and 32 hexadecimal digits"))
	}
	if c.KeySID != "" && !isSID("SK", c.KeySID) {
		bad = append(bad, errors.New("twilio: the SID of an API key is SK and 32 hexadecimal digits"))
	}
	if c.Secret == "" {
		bad = append(bad, errors.New("twilio: the secret is missing: the account's auth token, or that of the API key"))
	}
	if (c.From == "") == (c.MessagingServiceSID == "") {
		bad = append(bad, errors.New("twilio: messages need a sender or a messaging service, and not both"))
	}
	if c.MessagingServiceSID != "" && !isSID("MG", c.MessagingServiceSID) {
		bad = append(bad, errors.New("twilio: the SID of a messaging service is MG and 32 hexadecimal digits"))
	}
	return errors.Join(bad...)
}

func (c Config) url() string { return strings.TrimSuffix(cmp.Or(c.URL, "https://api.twilio.com"), "/") }

func isSID(prefix, sid string) bool {
	digits, ok := strings.CutPrefix(sid, prefix)
	return ok && len(digits) == 32 && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// A Gateway carries texts by Twilio.
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
	c.Name = cmp.Or(c.Name, "twilio")
	if c.KeySID == "" {
		c.AuthToken = c.Secret
	}
	return &Gateway{c, courier.New(c.Name, c.Secret, c.AuthToken, c.credentials())}, nil
}

// Name is how logs call this gateway.
func (g *Gateway) Name() string { return g.Config.Name }

// credentials are what Basic authentication (RFC 7617) is asked for.
func (c Config) credentials() secret.Text {
	return secret.Text(cmp.Or(c.KeySID, c.AccountSID) + ":" + c.Secret.Reveal())
}

// Send hands the text to Twilio, which answers once it is queued.
func (g *Gateway) Send(ctx context.Context, t gateway.Text) error {
	if t.Channel != "sms" {
		return g.line.WrongChannel(t)
	}
	address := g.url() + "/2010-04-01/Accounts/" + g.AccountSID + "/Messages.json"
	answer, err := g.line.Post(ctx, t, address, http.Header{
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(g.credentials().Reveal()))},
		"Content-Type":  {"application/x-www-form-urlencoded"},
	}, []byte(g.form(t).Encode()))
	if err != nil {
		return err
	}
	return g.judge(t, answer)
}

func (g *Gateway) form(t gateway.Text) url.Values {
	form := url.Values{"To": {t.To.Reveal()}, "Body": {t.Body.Reveal()}}
	if g.From != "" {
		form.Set("From", g.From)
	} else {
		form.Set("MessagingServiceSid", g.MessagingServiceSID)
	}
	if life := t.Life(g.Now(), time.Second, time.Second, 10*time.Hour); life > 0 {
		form.Set("ValidityPeriod", strconv.Itoa(int(life.Seconds())))
	}
	if t.Report != "" {
		form.Set("StatusCallback", t.Report)
	}
	return form
}

// judge reads Twilio's answer: the message it made, or what was wrong.
func (g *Gateway) judge(t gateway.Text, a courier.Answer) error {
	var said struct {
		SID       string `json:"sid"` // of the message
		Status    any    `json:"status"`
		ErrorCode int    `json:"error_code"`
		Code      int    `json:"code"` // of an answer that is an error
		Message   string `json:"message"`
	}
	err := a.Read(&said)
	if a.OK() {
		switch {
		case err != nil || said.SID == "":
			return g.line.Alien(t, a)
		case said.Status != "failed" && said.Status != "undelivered" && said.Status != "canceled":
			return nil
		}
	}
	var code string
	number := cmp.Or(said.Code, said.ErrorCode)
	if number != 0 {
		code = strconv.Itoa(number)
	}
	if slices.Contains(refusals, number) {
		return g.line.Refuse(t, a, code, said.Message)
	}
	return g.line.Fail(t, a, code, said.Message)
}

// refusals are the codes that follow from the number: https://www.twilio.com/docs/api/errors has them all.
var refusals = []int{
	21211, // no valid number
	21214, // cannot be reached
	21217, // no valid number
	21265, // a short code
	21266, // our own number
	21268, // premium rate
	21408, // a region the account does not send to
	21608, // not among the numbers a trial account may send to
	21610, // has asked to get nothing more
	21612, // not reachable from this sender
	21614, // no mobile number
	21635, // a landline
	30004, // has us blocked
	30005, // unknown, or no more in use
	30006, // a landline, or a carrier out of reach
	30450, // looks like pumping
}

// Read judges a status callback: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status.
func (g *Gateway) Read(r gateway.Report) (gateway.Outcome, error) {
	form, err := url.ParseQuery(string(r.Body))
	if err != nil || !g.signed(r, form) {
		return gateway.Pending, gateway.ErrForged
	}
	switch form.Get("MessageStatus") {
	case "delivered", "read":
		return gateway.Arrived, nil
	case "undelivered", "failed", "canceled":
		return gateway.Lost, nil
	case "":
		return gateway.Pending, gateway.ErrForged
	}
	return gateway.Pending, nil
}

// signed checks X-Twilio-Signature: the address and every parameter, sorted by name, under the auth token. It is
// HMAC-SHA1, which is Twilio's choice and which collisions of SHA-1 do not break.
func (g *Gateway) signed(r gateway.Report, form url.Values) bool {
	if g.AuthToken == "" {
		return true
	}
	sum := hmac.New(sha1.New, []byte(g.AuthToken.Reveal()))
	sum.Write([]byte(r.Address))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			sum.Write([]byte(name + value))
		}
	}
	want := base64.StdEncoding.EncodeToString(sum.Sum(nil))
	return hmac.Equal([]byte(want), []byte(http.Header(r.Header).Get("X-Twilio-Signature")))
}

var _ gateway.Reporter = (*Gateway)(nil)
