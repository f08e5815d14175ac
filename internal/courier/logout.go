package courier

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Herald tells applications that a session ended. It goes where an operator said and no further: it follows no
// redirect and reads nothing but the status.
type Herald struct{ client *http.Client }

// NewHerald makes one.
func NewHerald() *Herald {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = longest
	transport.IdleConnTimeout = 10 * time.Second // many applications, each rarely
	return &Herald{&http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Refused is an application's answer that is no yes. It is there, then, and may take what else it is told.
type Refused struct{ Status int }

func (r *Refused) Error() string {
	return fmt.Sprintf("courier: the application answered %d", r.Status)
}

// Post hands a logout token over (OpenID Connect Back-Channel Logout 1.0 2.5), or fails as [Refused] where there was an
// answer. The token is not in the error.
func (h *Herald) Post(ctx context.Context, to, logoutToken string) error {
	body := url.Values{"logout_token": {logoutToken}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("courier: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "latchkey")
	resp, err := h.client.Do(req)
	if err != nil {
		return fmt.Errorf("courier: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return &Refused{resp.StatusCode}
	}
	return nil
}
