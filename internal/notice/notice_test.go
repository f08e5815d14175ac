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
