package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/secret"
)

func text(id, to, body string) gateway.Text {
	return gateway.Text{ID: id, Channel: "sms", To: secret.Text(to), Body: secret.Text(body)}
}

func TestTextsAreKeptInOrderAndOnce(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := New(func() time.Time { return at })
	for _, in := range []gateway.Text{
		text("1", "+12025550101", "one"), text("2", "+12025550102", "two"),
		text("1", "+12025550101", "one"), text("3", "+12025550101", "three"),
	} {
		if err := o.Send(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	if got := ids(o.Texts("")); got != "1 2 3" {
		t.Errorf("all: %q, want the same id once: 1 2 3", got)
	}
	if got := ids(o.Texts("+12025550101")); got != "1 3" {
		t.Errorf("to one number: %q, want 1 3", got)
	}
	if got := o.Texts("")[1]; got != (Text{"2", "sms", "+12025550102", "two", at}) {
		t.Errorf("second text is %+v", got)
	}
	o.Empty()
	if got := o.Texts(""); got == nil || len(got) != 0 {
		t.Errorf("emptied: %#v, want an empty list", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	o := New(time.Now)
	for i := range kept + 1 {
		if err := o.Send(t.Context(), text(fmt.Sprint(i), "+1", "x")); err != nil {
			t.Fatal(err)
		}
	}
	got := o.Texts("")
	if len(got) > kept || got[len(got)-1].ID != fmt.Sprint(kept) {
		t.Errorf("%d texts kept, the newest is %s", len(got), got[len(got)-1].ID)
	}
}

func TestWaitAnswersWhenATextIsThere(t *testing.T) {
	tests := map[string]struct {
		before, later []gateway.Text
		after         string
		want          string
		takes         time.Duration
	}{
		"at once if one is there":      {before: []gateway.Text{text("1", "+1", "")}, want: "1"},
		"when it comes":                {later: []gateway.Text{text("1", "+1", "")}, want: "1", takes: time.Second},
		"not for another number":       {later: []gateway.Text{text("1", "+2", "")}, want: "", takes: time.Minute},
		"when a newer one comes":       {before: []gateway.Text{text("1", "+1", "")}, after: "1", later: []gateway.Text{text("2", "+1", "")}, want: "1 2", takes: time.Second},
		"with what there is, too late": {before: []gateway.Text{text("1", "+1", "")}, after: "1", want: "1", takes: time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := New(time.Now)
				for _, in := range test.before {
					_ = o.Send(t.Context(), in)
				}
				go func() {
					time.Sleep(time.Second)
					for _, in := range test.later {
						_ = o.Send(t.Context(), in)
					}
				}()
				began := time.Now()
				if got := ids(o.Wait(t.Context(), "+1", test.after, time.Minute)); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
				if took := time.Since(began); took != test.takes {
					t.Errorf("took %s, want %s", took, test.takes)
				}
				time.Sleep(time.Second) // the sender ends with the bubble
			})
		})
	}
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New(time.Now)
		o.Fault("*", Fail)
		o.Fault("+1202555*", Refuse)
		o.Fault("+44*", Hang)
		ctx, done := context.WithTimeout(t.Context(), time.Second)
		defer done()
		for to, want := range map[string]error{
			"+12025550101": gateway.ErrRefused, "+447700900123": context.DeadlineExceeded, "+4930123456": ErrDown,
		} {
			if err := o.Send(ctx, text(to, to, "x")); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", to, err, want)
			}
		}
		o.Mend("+1202555*")
		if err := o.Send(t.Context(), text("a", "+12025550101", "x")); !errors.Is(err, ErrDown) {
			t.Errorf("mended one of two: %v, want %v", err, ErrDown)
		}
		o.Mend("")
		if err := o.Send(t.Context(), text("a", "+12025550101", "x")); err != nil {
			t.Errorf("mended: %v", err)
		}
		if n := len(o.Texts("")); n != 1 {
			t.Errorf("%d texts kept, want the one that was taken", n)
		}
	})
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, number string
		want            bool
	}{
		{"+12025550101", "+12025550101", true},
		{"+12025550101", "+120255501010", false},
		{"+1202*", "+12025550101", true},
		{"+1202*", "+1203", false},
		{"*", "+1", true},
		{"*0101", "+12025550101", true},
		{"+1*55*1", "+12025550101", true},
		{"+1*9*1", "+12025550101", false},
		{"", "+1", false},
	} {
		if got := Match(test.pattern, test.number); got != test.want {
			t.Errorf("%q like %q: %t", test.number, test.pattern, got)
		}
	}
}

func ids(texts []Text) string {
	var all []string
	for _, t := range texts {
		all = append(all, t.ID)
	}
	return strings.Join(all, " ")
}
