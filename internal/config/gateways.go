package config

import (
	"maps"
	"strings"

	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/awssms"
	"latchkey.dev/internal/gateway/hook"
	"latchkey.dev/internal/gateway/kannel"
	"latchkey.dev/internal/gateway/smtp"
	"latchkey.dev/internal/gateway/twilio"
	"latchkey.dev/internal/gateway/vonage"
	"latchkey.dev/internal/gateway/webhook"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/strict"
)

// A Gateway carries text messages: one of the kinds below.
type Gateway struct {
	Name    string   `yaml:"name" doc:"how routes, prices, logs and the ledger call it"`
	Twilio  *Twilio  `yaml:"twilio,omitempty" doc:"Twilio's Programmable Messaging."`
	Vonage  *Vonage  `yaml:"vonage,omitempty" doc:"Vonage's Messages API."`
	AWS     *AWS     `yaml:"aws,omitempty" doc:"AWS End User Messaging."`
	Webhook *Webhook `yaml:"webhook,omitempty" doc:"A service of your own, called by Standard Webhooks."`
	Hook    *Hook    `yaml:"hook,omitempty" doc:"A telephony inline hook, as Okta calls them."`
	Kannel  *Kannel  `yaml:"kannel,omitempty" doc:"Kannel's sendsms interface, for carriers that speak SMPP."`
}

// Twilio is twilio.Config, in the file.
type Twilio struct {
	URL        string `yaml:"url" doc:"of another edge or region than https://api.twilio.com"`
	AccountSID string `yaml:"account_sid" doc:"AC and 32 digits"`
	KeySID     string `yaml:"key_sid" doc:"of an API key, SK and 32 digits; without it secret is the account's auth token"`
	Secret     Secret `yaml:"secret" doc:"the API key's secret, or the auth token"`
	AuthToken  Secret `yaml:"auth_token" doc:"the account's auth token, to check reports when there is an API key"`
	From       string `yaml:"from" doc:"the sender: a number or a name of the account"`
	Service    string `yaml:"messaging_service_sid" doc:"instead of a sender: MG and 32 digits"`
}

// Vonage is vonage.Config, in the file.
type Vonage struct {
	URL             string `yaml:"url" doc:"of another region than https://api.nexmo.com"`
	APIKey          string `yaml:"api_key" doc:"of the account"`
	APISecret       Secret `yaml:"api_secret" doc:"of the account"`
	SignatureSecret Secret `yaml:"signature_secret" doc:"to check signed reports"`
	From            string `yaml:"from" doc:"the sender: a number or a name"`
}

// AWS is awssms.Config, in the file.
type AWS struct {
	URL                  string `yaml:"url" doc:"instead of the region's public endpoint"`
	Region               string `yaml:"region" doc:"eu-central-1"`
	AccessKeyID          string `yaml:"access_key_id" doc:"of a user who may do sms-voice:SendTextMessage"`
	SecretAccessKey      Secret `yaml:"secret_access_key" doc:"that belongs to it"`
	Origination          string `yaml:"origination" doc:"a number, sender ID or pool; without it AWS picks one"`
	ConfigurationSet     string `yaml:"configuration_set" doc:"where AWS puts its reports"`
	ProtectConfiguration string `yaml:"protect_configuration" doc:"which countries AWS sends to"`
}

// Webhook is webhook.Config, in the file.
type Webhook struct {
	URL     string            `yaml:"url" doc:"where to send"`
	Secrets []Secret          `yaml:"secrets" doc:"whsec_ and the base64 of 24 to 64 random bytes, newest first; each signs"`
	Headers map[string]Secret `yaml:"headers" doc:"that go along, by name"`
}

// Hook is hook.Config, in the file.
type Hook struct {
	URL     string            `yaml:"url" doc:"of the hook"`
	Headers map[string]Secret `yaml:"headers" doc:"that it wants to be called with, by name"`
	Source  string            `yaml:"source" doc:"under which it knows us"`
	Locale  string            `yaml:"locale" doc:"EN-US"`
}

// Kannel is kannel.Config, in the file.
type Kannel struct {
	URL      string `yaml:"url" doc:"of sendsms, http://127.0.0.1:13013/cgi-bin/sendsms as a rule"`
	Username string `yaml:"username" doc:"of a sendsms-user group"`
	Password Secret `yaml:"password" doc:"that belongs to it"`
	From     string `yaml:"from" doc:"the sender"`
	SMSC     string `yaml:"smsc" doc:"the id of the connection to use"`
	DLRURL   string `yaml:"dlr_url" doc:"where Kannel reports, instead of to us"`
}

// Mail is smtp.Config, in the file.
type Mail struct {
	Host     string `yaml:"host" doc:"the mail server"`
	Port     int    `yaml:"port" doc:"587 with STARTTLS if it is not said; 465 is TLS at once"`
	TLS      bool   `yaml:"tls" doc:"TLS at once, on whichever port"`
	Username string `yaml:"username" doc:"if the server asks"`
	Password Secret `yaml:"password" doc:"that belongs to it"`
	From     string `yaml:"from" doc:"the sender: Acme Sign-in <no-reply@acme.example>"`
}

// A sound one can be checked, and opened if that went well.
type sound interface{ Check() error }

// A kind is a gateway's own configuration.
type kind struct {
	key    string
	config sound
	open   func() (gateway.Gateway, error)
}

// kinds are those that are configured. There should be one.
func (g Gateway) kinds() []kind {
	var all []kind
	if t := g.Twilio; t != nil {
		c := twilio.Config{Name: g.Name, URL: t.URL, AccountSID: t.AccountSID, KeySID: t.KeySID, Secret: t.Secret.Text(),
			AuthToken: t.AuthToken.Text(), From: t.From, MessagingServiceSID: t.Service}
		all = append(all, kind{"twilio", c, func() (gateway.Gateway, error) { return twilio.New(c) }})
	}
	if v := g.Vonage; v != nil {
		c := vonage.Config{Name: g.Name, URL: v.URL, APIKey: v.APIKey, APISecret: v.APISecret.Text(), SignatureSecret: v.SignatureSecret.Text(), From: v.From}
		all = append(all, kind{"vonage", c, func() (gateway.Gateway, error) { return vonage.New(c) }})
	}
	if a := g.AWS; a != nil {
		c := awssms.Config{Name: g.Name, URL: a.URL, Region: a.Region, AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey.Text(),
			Origination: a.Origination, ConfigurationSet: a.ConfigurationSet, ProtectConfiguration: a.ProtectConfiguration}
		all = append(all, kind{"aws", c, func() (gateway.Gateway, error) { return awssms.New(c) }})
	}
	if w := g.Webhook; w != nil {
		c := webhook.Config{Name: g.Name, URL: w.URL, Headers: headers(w.Headers)}
		for _, s := range w.Secrets {
			c.Secrets = append(c.Secrets, s.Text())
		}
		all = append(all, kind{"webhook", c, func() (gateway.Gateway, error) { return webhook.New(c) }})
	}
	if h := g.Hook; h != nil {
		c := hook.Config{Name: g.Name, URL: h.URL, Headers: headers(h.Headers), Source: h.Source, Locale: h.Locale}
		all = append(all, kind{"hook", c, func() (gateway.Gateway, error) { return hook.New(c) }})
	}
	if k := g.Kannel; k != nil {
		c := kannel.Config{Name: g.Name, URL: k.URL, Username: k.Username, Password: k.Password.Text(), From: k.From, SMSC: k.SMSC, DLRURL: k.DLRURL}
		all = append(all, kind{"kannel", c, func() (gateway.Gateway, error) { return kannel.New(c) }})
	}
	return all
}

func headers(named map[string]Secret) courier.Headers {
	all := map[string]secret.Text{}
	for name, s := range maps.All(named) {
		all[name] = s.Text()
	}
	return all
}

func (g Gateway) check(p *strict.Problems, at string) {
	all := g.kinds()
	if len(all) != 1 {
		p.At(at, "says twilio, vonage, aws, webhook, hook or kannel, one of them")
	}
	for _, k := range all {
		complain(p, at+"."+k.key, k.config.Check())
	}
}

// complain repeats what a gateway says of its settings, a problem at a time.
func complain(p *strict.Problems, at string, err error) {
	if err == nil {
		return
	}
	for words := range strings.Lines(err.Error()) {
		_, words, _ = strings.Cut(strings.TrimSpace(words), ": ") // the kind, which the path says
		p.At(at, "%s", words)
	}
}

// Open makes the gateway of a configuration that was checked.
func (g Gateway) Open() (gateway.Gateway, error) { return g.kinds()[0].open() }

func (m Mail) config() smtp.Config {
	return smtp.Config{Name: "mail", Host: m.Host, Port: m.Port, TLS: m.TLS, Username: m.Username, Password: m.Password.Text(), From: m.From}
}

func (m Mail) check(p *strict.Problems) { complain(p, "messages.mail", m.config().Check()) }

// Open makes the gateway of a configuration that was checked.
func (m Mail) Open() (gateway.Gateway, error) { return smtp.New(m.config()) }
