package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/config"
	"latchkey.dev/internal/deliver"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/wire"
)

type messageCommand struct {
	Test messageTest `cmd:"" help:"Send a text that says it is a test, by the routes of latchkey.yaml, and say how each gateway took it."`
}

type messageTest struct {
	configured
	To      string `required:"" help:"Who gets it: a number like +4915112345678, or an e-mail address with --mail." placeholder:"NUMBER"`
	Gateway string `help:"Ask this one alone, whatever the routes say." placeholder:"NAME"`
	All     bool   `help:"Ask every gateway of the route, not only until one takes it."`
	Mail    bool   `help:"Send an e-mail instead of a text."`
	JSON    bool   `name:"json" help:"Say it as JSON, a line for each gateway."`
}

// An attempt is how one gateway took the test.
type attempt struct {
	Gateway string `json:"gateway"`
	Taken   bool   `json:"taken"`
	Millis  int64  `json:"milliseconds"`
	Error   string `json:"error,omitempty"`
}

// testPatience is for one gateway, as for a real text.
const testPatience = 5 * time.Second

// Run asks the gateways in the order of the route. The test is counted by no limit and is in no ledger.
func (c messageTest) Run(ctx context.Context, out io.Writer) error {
	settings, err := c.read()
	if err != nil {
		return err
	}
	text, route, err := c.text(settings)
	if err != nil {
		return err
	}
	taken := false
	for _, g := range route {
		if c.Gateway != "" && g.Name() != c.Gateway {
			continue
		}
		a := carry(ctx, g, text)
		taken = taken || a.Taken
		if err := c.tell(out, a); err != nil {
			return err
		}
		if a.Taken && !c.All {
			break
		}
	}
	if !taken {
		return fmt.Errorf("no gateway took the test")
	}
	return nil
}

// text is the test, and who may carry it.
func (c messageTest) text(settings config.Config) (gateway.Text, []gateway.Gateway, error) {
	const words = "This is a test of Latchkey. There is nothing to do."
	t := gateway.Text{ID: ident.NewID("msg"), Channel: "sms", To: secret.Text(c.To), Body: words, NotAfter: time.Now().Add(5 * time.Minute)}
	var parts wire.Parts
	if err := messages(settings, &parts); err != nil {
		return t, nil, err
	}
	if c.Mail {
		t.Channel, t.Body = "email", "A test of Latchkey\n\n"+words+"\n"
		if len(parts.Mail) == 0 {
			return t, nil, fmt.Errorf("%s has no messages.mail", c.Config)
		}
		return t, parts.Mail, nil
	}
	p := phone.New(phone.Config{Countries: settings.Countries.Codes(), Regions: settings.Countries.Regions()})
	number, err := p.Number(c.To)
	if err != nil {
		return t, nil, fmt.Errorf("a code would not be sent there: %w", err)
	}
	t.To = secret.Text(number)
	if c.Gateway != "" {
		return t, parts.Gateways, nil
	}
	w := deliver.New(deliver.Config{Gateways: parts.Gateways, Routes: parts.Routes, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	return t, w.Route(p.Country(t.To)), nil
}

func carry(ctx context.Context, g gateway.Gateway, t gateway.Text) attempt {
	ctx, done := context.WithTimeout(ctx, testPatience)
	defer done()
	began := time.Now()
	err := g.Send(ctx, t)
	a := attempt{Gateway: g.Name(), Taken: err == nil, Millis: time.Since(began).Milliseconds()}
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

func (c messageTest) tell(out io.Writer, a attempt) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(a)
	}
	said := "took it"
	if !a.Taken {
		said = "did not take it: " + a.Error
	}
	_, err := fmt.Fprintf(out, "%s %s (%d ms)\n", a.Gateway, said, a.Millis)
	return err
}
