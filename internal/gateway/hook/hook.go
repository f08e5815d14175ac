// Package hook hands texts to a telephony inline hook as Okta calls them, so that a hook that exists goes on
// working.
//
// URL is the hook's address and Headers what it wants to be called with, an Authorization header as a rule.
// Source is the name under which it knows us, and Locale the language that is reported; both may be empty. The
// request is of the type com.okta.telephony.provider, version 1.0. Its eventId is the text's id and stays the
// same when a text is tried again. The hook gets the whole text as msgTemplate, and as otpCode the code that is
// in it. Who signs in, from where and for what, is not for a carrier to know: userProfile and the address in
// context are there, and empty, and requestType always says mfa-verification.
//
// The hook's answer is a command com.okta.telephony.action: SUCCESSFUL and PENDING are taken, FAILED or an error
// object is a failure. There is no word in it for a number that will never get anything, so no number is ever
// refused here, and where other gateways can carry a text, they are asked next.
package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/gateway"
)

// Config is what a hook has to be told. The package comment says what it means.
type Config struct {
	Name    string // in logs; hook if empty
	URL     string
	Headers courier.Headers
	Source  string // https://id.example.test/api/v1/inlineHooks/cal...
	Locale  string // EN-US
	Now     func() time.Time
}

// Check reports every problem at once.
func (c Config) Check() error {
	var bad []error
	if err := courier.CheckURL(c.URL); err != nil {
		bad = append(bad, fmt.Errorf("hook: the URL %w", err))
	}
	if len(c.Headers) == 0 {
		bad = append(bad, errors.New("hook: a header with its key is missing: a hook that answers anybody sends for anybody"))
	}
	if err := c.Headers.Check(); err != nil {
		bad = append(bad, fmt.Errorf("hook: %w", err))
	}
	return errors.Join(bad...)
}

// A Gateway hands texts to a hook.
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
	c.Name = cmp.Or(c.Name, "hook")
	return &Gateway{c, courier.New(c.Name, slices.Concat(c.Headers.Secrets(), courier.SecretsOf(c.URL))...)}, nil
}

// Name is how logs call this gateway.
func (g *Gateway) Name() string { return g.Config.Name }

// Send hands the text to the hook.
func (g *Gateway) Send(ctx context.Context, t gateway.Text) error {
	if t.Channel != "sms" {
		return g.line.WrongChannel(t)
	}
	body, err := json.Marshal(g.request(t))
	if err != nil {
		return fmt.Errorf("%s: %w", g.Name(), err)
	}
	answer, err := g.line.Post(ctx, t, g.URL, g.Headers.Join(http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json"},
	}), body)
	if err != nil {
		return err
	}
	return g.judge(t, answer)
}

// judge reads the hook's answer: its command, or its error.
func (g *Gateway) judge(t gateway.Text, a courier.Answer) error {
	var said response
	err := a.Read(&said)
	switch {
	case err == nil && said.Error.Summary != "":
		return g.line.Fail(t, a, "", said.Error.Summary)
	case !a.OK():
		return g.line.Fail(t, a, "", "")
	case err != nil:
		return g.line.Alien(t, a)
	}
	for _, c := range said.Commands {
		for _, v := range c.Value {
			switch {
			case c.Type != "com.okta.telephony.action":
			case v.Status == "SUCCESSFUL", v.Status == "PENDING":
				return nil
			case v.Status == "FAILED":
				return g.line.Fail(t, a, v.Status, v.Provider+" "+v.Metadata)
			}
		}
	}
	return g.line.Alien(t, a)
}
