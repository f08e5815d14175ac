package notice_test

import (
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/notice"
)

func TestS15_TextNamesAppCodeLifetimeAndHost(t *testing.T) {
	for l := msg.English; l <= msg.Spanish; l++ {
		text := notice.Code{App: "Seed App of a company with a long name", Code: "042424", Lifetime: 5 * time.Minute, Host: "id.example", Lang: l}.Text().Reveal()
		if !strings.Contains(text, "042424") || !strings.Contains(text, "Seed App") || !strings.Contains(text, "5 minut") && !strings.Contains(text, "5 Minut") {
			t.Errorf("%s: %s", l, text)
		}
		if !strings.HasSuffix(text, "\n\n@id.example #042424") {
			t.Errorf("%s does not end with the bound code: %q", l, text)
		}
		if strings.Contains(text, "http") {
			t.Errorf("%s carries a link: %s", l, text)
		}
		if len([]rune(text)) > 160 {
			t.Errorf("%s has %d letters, more than a segment", l, len([]rune(text)))
		}
	}
}

func TestMailTellsWhatWhenAndWhatToDo(t *testing.T) {
	at := time.Date(2026, 3, 4, 22, 6, 7, 0, time.UTC)
	for l := msg.English; l <= msg.Spanish; l++ {
		for c := notice.PhoneAdded; c <= notice.PasswordChanged; c++ {
			m := notice.Mail{Change: c, Name: "Ada", Login: "ada@example.com", Hint: "+1 XXX-XXX-0143", Host: "id.example", At: at, Zone: "Europe/Berlin", Lang: l}
			subject, body, ok := strings.Cut(m.Text().Reveal(), "\n\n")
			if !ok || subject == "" || strings.Contains(subject, "\n") {
				t.Errorf("%s: the subject is %q", l, subject)
			}
			for _, want := range []string{"Ada", "ada@example.com", "id.example", "23:06"} {
				if !strings.Contains(body, want) {
					t.Errorf("%s: no %s in %s", l, want, body)
				}
			}
			if strings.Contains(body, m.Hint) != (c != notice.PasswordChanged) {
				t.Errorf("%s: the phone in %s", l, body)
			}
			if strings.ContainsAny(m.Text().Reveal(), "{}") {
				t.Errorf("%s: not filled in: %s", l, m.Text().Reveal())
			}
		}
	}
}

func TestANameIsNoMoreThanAName(t *testing.T) {
	m := notice.Mail{Name: "Ada,\n\nclick https://evil.example " + strings.Repeat("x", 200), Zone: "Nowhere/At_All", At: time.Unix(0, 0)}
	text := m.Text().Reveal()
	if strings.Contains(text, "://") || strings.Contains(text, strings.Repeat("x", 80)) || strings.Contains(text, "Ada,\n") {
		t.Errorf("the mail is %s", text)
	}
}
