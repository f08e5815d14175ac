package idx

import (
	"fmt"
	"io"
	"log/slog"
	"sort"
	"strings"
)

const redacted = "[redacted]"

// printAs is the whole of a Format method: whatever the verb, even %#v, it prints s and nothing else.
func printAs(f fmt.State, s string) { _, _ = io.WriteString(f, s) }

// given prints the names of what is set: Answers{Username, Password}.
func given(kind string, names []string) string { return kind + "{" + strings.Join(names, ", ") + "}" }

// Format shows which answers are given.
func (a Answers) Format(f fmt.State, _ rune) { printAs(f, given("Answers", a.names())) }

// LogValue shows which answers are given.
func (a Answers) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(a)) }

// MarshalJSON shows which answers are given: answers are to be sent, not kept.
func (a Answers) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%q", fmt.Sprint(a)), nil
}

// Format shows the names.
func (v Values) Format(f fmt.State, _ rune) { printAs(f, given("Values", v.names())) }

// LogValue shows the names.
func (v Values) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(v)) }

// MarshalJSON shows the names: a logger that encodes whatever it is given must not print a password.
func (v Values) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", fmt.Sprint(v)), nil }

func (v Values) names() []string {
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Format shows the type and the subject.
func (t Tokens) Format(f fmt.State, _ rune) {
	printAs(f, fmt.Sprintf("Tokens{%s, subject %q, tokens %s}", t.Type, t.Subject, redacted))
}

// LogValue shows the type and the subject.
func (t Tokens) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// Format shows the address and whether there is a device token.
func (u EndUser) Format(f fmt.State, _ rune) {
	device := ""
	if u.DeviceToken != "" {
		device = ", device " + redacted
	}
	printAs(f, fmt.Sprintf("EndUser{%s%s}", u.IP, device))
}

// LogValue shows the address and whether there is a device token.
func (u EndUser) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(u)) }

// Format shows the status and the step.
func (t *Transaction) Format(f fmt.State, _ rune) {
	if !t.valid() {
		printAs(f, "Transaction{}")
		return
	}
	step := ""
	if s := t.NextStep(); s != nil {
		step = fmt.Sprintf(", %q", s.Name)
	}
	printAs(f, fmt.Sprintf("Transaction{%s%s}", t.Status(), step))
}

// LogValue shows the status and the step.
func (t *Transaction) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// Format shows the name and the inputs: the rest may hold handles.
func (s NextStep) Format(f fmt.State, _ rune) {
	names := make([]string, len(s.Inputs))
	for i, in := range s.Inputs {
		names[i] = in.Name
	}
	printAs(f, given(fmt.Sprintf("NextStep %q ", s.Name), names))
}

// LogValue shows the name and the inputs.
func (s NextStep) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// Format shows the client id.
func (c *Client) Format(f fmt.State, _ rune) {
	if c == nil || c.core == nil {
		printAs(f, "Client{}")
		return
	}
	printAs(f, fmt.Sprintf("Client{%s, %s}", c.core.issuer, c.core.clientID))
}

// Format shows how many keys there are.
func (s *Sealer) Format(f fmt.State, _ rune) {
	if s == nil {
		printAs(f, "Sealer{}")
		return
	}
	printAs(f, fmt.Sprintf("Sealer{%d keys}", len(s.aeads)))
}

// scrub takes secrets out of a text that somebody else wrote. Very short ones stay: they would tear up ordinary words,
// and no code or handle is that short.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, s, redacted)
		}
	}
	return clip(text)
}

// clip makes foreign text fit for one line of a log.
func clip(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	const most = 300
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
