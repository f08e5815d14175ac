package idx

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"
)

var userAgent = "latchkey-idx-go/1 " + strings.ReplaceAll(runtime.Version(), " ", "-")

// A Client speaks to one authorization server as one relying party. It is immutable, knows nothing about any
// person, and is safe for concurrent use: make one and keep it.
type Client struct {
	core *core
	user EndUser
}

// core is what all copies of a client share. Only the two cells change, and they hold public facts of the issuer.
type core struct {
	issuer      string // without trailing slash; compared byte for byte
	root        *url.URL
	oauth       string // where the OAuth endpoints lie that discovery does not name
	fingerprint string // of issuer and client: a transaction of another client does not fit
	clientID    string
	redirectURI string
	scope       string
	auth        ClientAuth

	http     *http.Client
	log      *slog.Logger
	attempts int
	ceiling  time.Duration
	now      func() time.Time
	trusted  []string // origins
	dpop     *signer

	metadata cell[*metadata]
	keys     cell[*keySet]
}

// New validates and returns; it does no I/O. Discovery happens once, on first need. It refuses an HTTP client that
// has a cookie jar, because a jar would mix one person's session into another's.
func New(cfg Config, opts ...ClientOption) (*Client, error) {
	s := settings{log: slog.New(slog.DiscardHandler), attempts: 3, ceiling: 5 * time.Second, now: time.Now}
	for _, opt := range opts {
		if err := opt(&s); err != nil {
			return nil, fmt.Errorf("idx: %w", err)
		}
	}
	cfg.Issuer = strings.TrimRight(cfg.Issuer, "/")
	issuer, err := cfg.check(s.insecure)
	if err != nil {
		return nil, fmt.Errorf("idx: %w", err)
	}
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{"openid", "profile"}
	}
	sum := sha256.Sum256([]byte(cfg.Issuer + "\x00" + cfg.ClientID))
	c := &core{
		issuer:      cfg.Issuer,
		root:        &url.URL{Scheme: issuer.Scheme, Host: issuer.Host, Path: "/"},
		oauth:       oauthBase(issuer),
		fingerprint: b64.EncodeToString(sum[:12]),
		clientID:    cfg.ClientID,
		redirectURI: cfg.RedirectURI,
		scope:       strings.Join(cfg.Scopes, " "),
		auth:        cfg.Auth,
		http:        httpClient(s.http),
		log:         s.log,
		attempts:    s.attempts,
		ceiling:     s.ceiling,
		now:         s.now,
		trusted:     []string{origin(issuer)},
		dpop:        s.dpop,
		metadata:    newCell[*metadata](),
		keys:        newCell[*keySet](),
	}
	for _, o := range s.trusted {
		u, _ := url.Parse(o) // WithTrustedOrigins has parsed it
		c.trusted = append(c.trusted, origin(u))
	}
	return &Client{core: c}, nil
}

// For returns a copy of the client that speaks for u: every request carries u's address, agent, language and
// device token. The copy shares everything else and costs nothing.
func (c *Client) For(u EndUser) *Client { return &Client{core: c.core, user: u} }

// oauthBase is the issuer itself for a custom authorization server, and /oauth2 below it for the one at the root.
// /oauth2 counts as a prefix of the path only: an issuer on a host called oauth2.example is still one at the root.
func oauthBase(issuer *url.URL) string {
	base := strings.TrimRight(issuer.String(), "/")
	if strings.HasPrefix(issuer.Path+"/", "/oauth2/") {
		return base
	}
	return base + "/oauth2"
}

func httpClient(given *http.Client) *http.Client {
	h := &http.Client{}
	if given != nil {
		*h = *given
	} else {
		h.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	// A redirected POST would carry a password to wherever the answer points.
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return h
}

// trusts resolves an address that a document gave us and tells whether we may send anything there.
func (c *core) trusts(href string) (*url.URL, error) {
	u, err := c.root.Parse(href)
	if err != nil {
		return nil, fmt.Errorf("%w: it does not parse", ErrUntrustedURL)
	}
	if u.User != nil || u.Host == "" || !slices.Contains(c.trusted, origin(u)) {
		return nil, fmt.Errorf("%w: it leads to %s", ErrUntrustedURL, clip(origin(u)))
	}
	return u, nil
}
