// Package smtp carries e-mail to a mail server, which sees to the rest (RFC 5321).
//
// Host is the server that we hand mail to, our own or a provider's, with Port 587 and STARTTLS as a rule (RFC
// 6409), or with port 465 and TLS from the first byte (RFC 8314). A server that offers no TLS gets nothing,
// unless it is on this machine. Username and Password are for servers that ask who we are. From is the sender,
// with or without a name: Acme Sign-in <no-reply@acme.example>.
//
// Of a text the first line is the subject. Its id becomes the Message-ID, so that a mail that arrives twice can be
// told to be one.
package smtp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

// Config is what a mail server has to be told. The package comment says what it means.
type Config struct {
	Name     string // in logs; smtp if empty
	Host     string
	Port     int  // 587 if zero
	TLS      bool // from the first byte; port 465 always is
	Username string
	Password secret.Text
	From     string
	Now      func() time.Time

	trust  *tls.Config // of a test
	strict bool        // a test: this machine is as any other
}

// implicit is the port on which TLS comes first (RFC 8314 3.3).
const implicit = 465

// Check reports every problem at once.
func (c Config) Check() error {
	var bad []error
	if c.Host == "" || strings.ContainsAny(c.Host, ":/ ") {
		bad = append(bad, errors.New("smtp: the host is missing, or is no name of one"))
	}
	if c.Port < 0 || c.Port > 65535 {
		bad = append(bad, fmt.Errorf("smtp: %d is no port", c.Port))
	}
	if (c.Username == "") != (c.Password == "") {
		bad = append(bad, errors.New("smtp: a user name and a password come together"))
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		bad = append(bad, errors.New("smtp: mail needs a sender like no-reply@acme.example"))
	}
	return errors.Join(bad...)
}

// A Gateway carries e-mail.
type Gateway struct {
	Config
	from *mail.Address
}

// New makes a gateway of a sound configuration.
func New(c Config) (*Gateway, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Name, c.Port = cmp.Or(c.Name, "smtp"), cmp.Or(c.Port, 587)
	g := &Gateway{Config: c}
	var err error
	if g.from, err = mail.ParseAddress(c.From); err != nil {
		return nil, err
	}
	_, err = g.client(nil) // what it refuses is in the configuration
	return g, err
}

// client makes one connection, by dial.
func (g *Gateway) client(dial gomail.DialContextFunc) (*gomail.Client, error) {
	options := []gomail.Option{gomail.WithPort(g.Port), gomail.WithTLSPolicy(g.policy()), gomail.WithHELO(g.domain()), gomail.WithoutNoop()}
	if g.trust != nil {
		options = append(options, gomail.WithTLSConfig(g.trust))
	}
	if g.TLS || g.Port == implicit {
		options = append(options, gomail.WithSSL())
	}
	if g.Username != "" {
		options = append(options, gomail.WithUsername(g.Username), gomail.WithPassword(g.Password.Reveal()),
			gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover))
	}
	if dial != nil {
		options = append(options, gomail.WithDialContextFunc(dial))
	}
	return gomail.NewClient(g.Host, options...)
}

// policy asks for TLS, but of a server on this machine only if it offers it.
func (c Config) policy() gomail.TLSPolicy {
	if ip, err := netip.ParseAddr(c.Host); !c.strict && (c.Host == "localhost" || err == nil && ip.IsLoopback()) {
		return gomail.TLSOpportunistic
	}
	return gomail.TLSMandatory
}

// domain is ours, as the sender's address has it.
func (g *Gateway) domain() string {
	_, domain, _ := strings.Cut(g.from.Address, "@")
	return domain
}

// Name is how logs call this gateway.
func (g *Gateway) Name() string { return g.Config.Name }

// Send hands the mail over.
func (g *Gateway) Send(ctx context.Context, t gateway.Text) error {
	if t.Channel != "email" {
		return fmt.Errorf("%s: carries e-mail only, and this is for the channel %q", g.Name(), t.Channel)
	}
	m, err := g.message(t)
	if err != nil {
		return err
	}
	line := &line{ends: ctx}
	if g.TLS || g.Port == implicit {
		line.tls = &tls.Config{ServerName: g.Host}
		if g.trust != nil {
			line.tls = g.trust
		}
	}
	defer line.close()
	client, err := g.client(line.dial)
	if err != nil {
		return fmt.Errorf("%s: %w", g.Name(), err)
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err == nil {
		err = client.SendWithSMTPClient(session, m)
		_ = client.CloseWithSMTPClient(session) // what was taken is taken, however we part
	}
	return g.judge(ctx, err)
}

// A line is the connection of one mail. The library leaves it open when the server does not let us in.
type line struct {
	ends context.Context // closes it: the library looks at a context only while it connects
	tls  *tls.Config     // of a server that wants it first
	conn net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if l.tls != nil {
		conn, err = (&tls.Dialer{Config: l.tls}).DialContext(ctx, network, address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	}
	if err == nil {
		l.conn = conn
		context.AfterFunc(l.ends, func() { _ = conn.Close() })
	}
	return conn, err
}

func (l *line) close() {
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

func (g *Gateway) message(t gateway.Text) (*gomail.Msg, error) {
	subject, body, _ := strings.Cut(t.Body.Reveal(), "\n")
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := m.FromFormat(g.from.Name, g.from.Address); err != nil {
		return nil, fmt.Errorf("%s: the sender is no address", g.Name())
	}
	if err := m.To(t.To.Reveal()); err != nil {
		return nil, fmt.Errorf("%s: the recipient is no address: %w", g.Name(), gateway.ErrRefused)
	}
	m.Subject(subject)
	m.SetDateWithValue(g.Now())
	m.SetMessageIDWithValue(t.ID + "@" + g.domain())
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody is to answer it by machine
	m.SetBodyString(gomail.TypeTextPlain, strings.TrimLeft(body, "\n"))
	return m, nil
}

// judge says what went wrong without the server's words: they quote addresses (S-72).
func (g *Gateway) judge(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var said *gomail.SendError
	var network *net.OpError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: no answer: %w", g.Name(), ctx.Err())
	case errors.As(err, &said) && said.Reason == gomail.ErrSMTPRcptTo && said.ErrorCode()/100 == 5:
		return fmt.Errorf("%s: answered %d to the recipient: %w", g.Name(), said.ErrorCode(), gateway.ErrRefused)
	case errors.As(err, &said):
		return fmt.Errorf("%s: answered %d (%s)", g.Name(), said.ErrorCode(), said.Reason)
	case errors.As(err, &network):
		return fmt.Errorf("%s: no connection: %w", g.Name(), network)
	case strings.Contains(err.Error(), "STARTTLS"):
		return fmt.Errorf("%s: offers no TLS", g.Name())
	}
	return fmt.Errorf("%s: the mail server did not take it (TLS, or user name and password)", g.Name())
}
