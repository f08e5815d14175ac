// Package kannel carries text messages by Kannel, the SMS gateway that speaks SMPP and its relatives to carriers.
//
// URL is the sendsms interface of its smsbox, http://127.0.0.1:13013/cgi-bin/sendsms as a rule; on another
// machine it has to be https (sendsms-port-ssl). Username and Password are those of a sendsms-user group. From
// is the sender, SMSC the id of the connection to use; both may be left to Kannel. Kannel calls the text's report
// address once it is known whether the message arrived, or DLRURL if that is set; {id} in it becomes the text's
// id, and Kannel fills in its own escapes (%d is 1 for delivered, 2 and 16 for not); of a connection without an
// smsc-id it hears nothing. It signs nothing: that nobody else knows the address has to do. A text that is still with a carrier when its code is dead is given up (validity).
//
// The request is the one with X-Kannel headers and not the one that is all address: proxies log addresses, and
// number, text and password would stand in it. Kannel has no idempotency key: a text whose answer got lost may
// arrive twice, with the same code.
package kannel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

// Config is what Kannel has to be told. The package comment says what it means.
type Config struct {
	Name     string // in logs; kannel if empty
	URL      string
	Username string
	Password secret.Text
	From     string
	SMSC     string
	DLRURL   string
	Now      func() time.Time
}

// Check reports every problem at once.
func (c Config) Check() error {
	var bad []error
	if err := courier.CheckURL(c.URL); err != nil {
		bad = append(bad, fmt.Errorf("kannel: the URL %w", err))
	}
	if c.Username == "" || c.Password == "" {
		bad = append(bad, errors.New("kannel: a user name and a password are needed"))
	}
	for _, setting := range []struct{ name, value string }{
		{"user name", c.Username}, {"password", c.Password.Reveal()}, {"sender", c.From}, {"SMSC", c.SMSC},
	} {
		if strings.ContainsFunc(setting.value, func(r rune) bool { return r < ' ' || r > '~' }) {
			bad = append(bad, fmt.Errorf("kannel: the %s holds what is no printable ASCII", setting.name))
		}
	}
	if c.DLRURL != "" {
		if err := courier.CheckURL(c.DLRURL); err != nil {
			bad = append(bad, fmt.Errorf("kannel: the DLR URL %w", err))
		}
	}
	return errors.Join(bad...)
}

// A Gateway carries texts by Kannel.
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
	c.Name = cmp.Or(c.Name, "kannel")
	return &Gateway{c, courier.New(c.Name, append(courier.SecretsOf(c.DLRURL), c.Password)...)}, nil
}

// Name is how logs call this gateway.
func (g *Gateway) Name() string { return g.Config.Name }

// Send hands the text to Kannel, which answers once a carrier has it or it is queued for one.
func (g *Gateway) Send(ctx context.Context, t gateway.Text) error {
	if t.Channel != "sms" {
		return g.line.WrongChannel(t)
	}
	answer, err := g.line.Post(ctx, t, g.URL, g.header(t), []byte(t.Body.Reveal()))
	if err != nil {
		return err
	}
	return g.judge(t, answer)
}

// The final outcomes that Kannel is asked to report: delivered to the phone, not delivered, rejected.
const dlrMask = 1 | 2 | 16

// The codings of a message: as many letters in one as the network's own alphabet allows, or all there are.
const (
	septets = 0
	ucs2    = 2
)

func (g *Gateway) header(t gateway.Text) http.Header {
	coding := septets
	if !gsm(t.Body.Reveal()) {
		coding = ucs2
	}
	h := http.Header{}
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-Kannel-Username", g.Username)
	h.Set("X-Kannel-Password", g.Password.Reveal())
	h.Set("X-Kannel-To", t.To.Reveal())
	h.Set("X-Kannel-Coding", strconv.Itoa(coding))
	if g.From != "" {
		h.Set("X-Kannel-From", g.From)
	}
	if g.SMSC != "" {
		h.Set("X-Kannel-SMSC", g.SMSC)
	}
	if life := t.Life(g.Now(), time.Minute, time.Minute, 7*24*time.Hour); life > 0 {
		h.Set("X-Kannel-Validity", strconv.Itoa(int(life.Minutes())))
	}
	report := strings.ReplaceAll(g.DLRURL, "{id}", url.QueryEscape(t.ID))
	if report == "" && t.Report != "" {
		report = t.Report + "&status=%d"
	}
	if report != "" {
		h.Set("X-Kannel-DLR-Mask", strconv.Itoa(dlrMask))
		h.Set("X-Kannel-DLR-Url", report)
	}
	return h
}

// judge reads Kannel's answer, a line of text that calls itself HTML.
func (g *Gateway) judge(t gateway.Text, a courier.Answer) error {
	said := string(bytes.TrimSpace(a.Body))
	code, rest, numbered := strings.Cut(said, ":")
	switch {
	case a.OK() && numbered && (code == "0" || code == "3"): // accepted, or queued: from here on it is Kannel's
		return nil
	case a.OK():
		return g.line.Alien(t, a)
	case a.Status == http.StatusForbidden && (strings.HasPrefix(said, notRoutable) || strings.HasPrefix(said, denied)):
		return g.line.Refuse(t, a, "", said)
	case strings.HasPrefix(said, "<"): // somebody's page
		return g.line.Alien(t, a)
	case numbered && len(code) == 1:
		return g.line.Fail(t, a, code, rest)
	}
	return g.line.Fail(t, a, "", said)
}

// What Kannel says to numbers that no connection takes, or that its own lists keep out. A wrong password is
// answered with the same status, and only the words differ.
const (
	notRoutable = "Not routable"
	denied      = "Number(s) has/have been denied"
)

// alphabet is what GSM 03.38 writes with one septet a letter or two: its default alphabet and the extension.
const alphabet = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§" +
	"¿abcdefghijklmnopqrstuvwxyzäöñüà" + "^{}\\[~]|€"

func gsm(s string) bool { return strings.Trim(s, alphabet) == "" }

// Read judges a delivery report, a GET whose query we wrote ourselves.
func (g *Gateway) Read(r gateway.Report) (gateway.Outcome, error) {
	switch r.Query.Get("status") {
	case "1":
		return gateway.Arrived, nil
	case "2", "16":
		return gateway.Lost, nil
	case "4", "8": // queued, with the carrier
		return gateway.Pending, nil
	}
	return gateway.Pending, gateway.ErrForged
}

var _ gateway.Reporter = (*Gateway)(nil)
