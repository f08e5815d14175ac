// Package awssms carries text messages by AWS End User Messaging SMS (SendTextMessage of its API version 2).
//
// Region says where, AccessKeyID and SecretAccessKey who: a user who needs no other permission than
// sms-voice:SendTextMessage. Origination is a number, sender ID or pool of the account (id or ARN); without it
// AWS picks one. ConfigurationSet tells AWS where reports go, ProtectConfiguration which countries it may send
// to; both may be empty. A text that is still queued there when its code is dead is dropped (TimeToLive).
//
// The API knows no idempotency key: a text whose answer got lost may arrive twice, with the same code. The
// message's id goes along as context, for reports.
package awssms

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

// Config is what AWS has to be told. The package comment says what it means.
type Config struct {
	Name                 string // in logs; awssms if empty
	URL                  string // the region's public endpoint if empty
	Region               string // eu-central-1
	AccessKeyID          string
	SecretAccessKey      secret.Text
	Origination          string
	ConfigurationSet     string
	ProtectConfiguration string
	Now                  func() time.Time
}

var region = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)

// Check reports every problem at once.
func (c Config) Check() error {
	var bad []error
	if !region.MatchString(c.Region) {
		bad = append(bad, errors.New("awssms: the region is missing or none, such as eu-central-1"))
	} else if err := courier.CheckURL(c.url()); err != nil {
		bad = append(bad, fmt.Errorf("awssms: the URL %w", err))
	}
	if c.AccessKeyID == "" || strings.ContainsAny(c.AccessKeyID, " /,") {
		bad = append(bad, errors.New("awssms: the access key ID is missing or none"))
	}
	if c.SecretAccessKey == "" {
		bad = append(bad, errors.New("awssms: the secret access key is missing"))
	}
	return errors.Join(bad...)
}

func (c Config) url() string {
	domain := "amazonaws.com"
	if strings.HasPrefix(c.Region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	return strings.TrimSuffix(cmp.Or(c.URL, "https://sms-voice."+c.Region+"."+domain), "/") + "/"
}

// A Gateway carries texts by AWS.
type Gateway struct {
	Config
	endpoint *url.URL
	signer   signer
	line     *courier.Line
}

// New makes a gateway of a sound configuration.
func New(c Config) (*Gateway, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Name = cmp.Or(c.Name, "awssms")
	endpoint, err := url.Parse(c.url())
	if err != nil {
		return nil, err
	}
	return &Gateway{
		Config:   c,
		endpoint: endpoint,
		signer:   signer{c.AccessKeyID, c.SecretAccessKey, c.Region, "sms-voice"},
		line:     courier.New(c.Name, c.SecretAccessKey),
	}, nil
}

// Name is how logs call this gateway.
func (g *Gateway) Name() string { return g.Config.Name }

// message is the body of a request.
type message struct {
	DestinationPhoneNumber string
	MessageBody            string
	MessageType            string
	OriginationIdentity    string `json:",omitempty"`
	ConfigurationSetName   string `json:",omitempty"`
	ProtectConfigurationID string `json:"ProtectConfigurationId,omitempty"`
	TimeToLive             int    `json:",omitempty"` // seconds
	Context                map[string]string
}

// Send hands the text to AWS.
func (g *Gateway) Send(ctx context.Context, t gateway.Text) error {
	if t.Channel != "sms" {
		return g.line.WrongChannel(t)
	}
	body, err := json.Marshal(message{
		DestinationPhoneNumber: t.To.Reveal(),
		MessageBody:            t.Body.Reveal(),
		MessageType:            "TRANSACTIONAL", // codes go ahead of advertisements
		OriginationIdentity:    g.Origination,
		ConfigurationSetName:   g.ConfigurationSet,
		ProtectConfigurationID: g.ProtectConfiguration,
		TimeToLive:             int(t.Life(g.Now(), time.Second, 5*time.Second, 72*time.Hour).Seconds()),
		Context:                map[string]string{"latchkey-message": t.ID},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", g.Name(), err)
	}
	header := http.Header{
		"Content-Type": {"application/x-amz-json-1.0"},
		"X-Amz-Target": {"PinpointSMSVoiceV2.SendTextMessage"},
	}
	g.signer.sign(http.MethodPost, g.endpoint, header, body, g.Now())
	answer, err := g.line.Post(ctx, t, g.endpoint.String(), header, body)
	if err != nil {
		return err
	}
	return g.judge(t, answer)
}

// judge reads AWS's answer: the message it made, or an exception and perhaps the reason for it.
func (g *Gateway) judge(t gateway.Text, a courier.Answer) error {
	var said struct {
		MessageID string `json:"MessageId"`
		Type      string `json:"__type"`
		Message   string // or message: the exceptions do not agree
		Reason    string
		Fields    []struct{ Name string }
	}
	err := a.Read(&said)
	if a.OK() {
		if err != nil || said.MessageID == "" {
			return g.line.Alien(t, a)
		}
		return nil
	}
	_, exception, named := strings.Cut(said.Type, "#") // with or without the namespace
	if !named {
		exception = said.Type
	}
	code := exception
	if said.Reason != "" {
		code += "/" + said.Reason
	}
	if slices.Contains(refusals, said.Reason) {
		return g.line.Refuse(t, a, code, said.Message)
	}
	for _, field := range said.Fields {
		if exception == "ValidationException" && strings.EqualFold(field.Name, "DestinationPhoneNumber") {
			return g.line.Refuse(t, a, code, said.Message)
		}
	}
	return g.line.Fail(t, a, code, said.Message)
}

// refusals are the reasons that follow from the number, or from its country and what we may use there.
var refusals = []string{
	// of a ConflictException
	"DESTINATION_PHONE_NUMBER_OPTED_OUT",
	"DESTINATION_PHONE_NUMBER_NOT_VERIFIED", // an account in the sandbox
	"DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION",
	"DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE",
	"NO_ORIGINATION_IDENTITIES_FOUND",
	// of a ValidationException
	"COUNTRY_CODE_MISMATCH",
	"DESTINATION_COUNTRY_BLOCKED",
	"INTERNATIONAL_SENDING_NOT_SUPPORTED",
	"INVALID_IDENTITY_FOR_DESTINATION_COUNTRY",
	"PRICE_OVER_THRESHOLD",
	"SENDER_ID_NOT_REGISTERED",
	"SENDER_ID_NOT_SUPPORTED",
	"SENDER_ID_REQUIRES_REGISTRATION",
}
