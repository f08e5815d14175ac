package latchkeytest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/config"
	"latchkey.dev/internal/dev"
	"latchkey.dev/internal/gateway/outbox"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
)

// patience is how long [Server.WaitMessage] and [Server.Code] wait: longer than a server that works needs.
const patience = 10 * time.Second

// A Server is a Latchkey that belongs to a test.
type Server struct {
	URL string            // http://127.0.0.1:PORT, without a slash at the end
	Env map[string]string // what the env file of `latchkey dev` holds: ISSUER, CLIENT_ID, USERNAME, ...

	t       testing.TB
	options options
	keys    *secret.Keys
	org     dev.Org
	world   *dev.World

	mu    sync.Mutex
	house *dev.House
	http  *httptest.Server
	stop  context.CancelFunc
	ended chan struct{}
	read  map[string]string // the last message handed out, by number
}

// plenty is how many requests a test may make a minute. Programs are quicker than people.
const plenty = 1_000_000

// An Option changes what Start starts.
type Option func(*options)

type options struct {
	config    config.Config
	passwords password.Params
	open      opener
	keys      *secret.Keys // nil: of one random master key
	log       io.Writer
	level     slog.Level
}

// cheap hashes in microseconds. A test that asks how long things take wants [RealHash].
var cheap = password.Params{Memory: 64, Time: 1, Threads: 1}

// ProductionLimits makes the server use the production numbers: real intervals and caps for texts, unknown
// users hidden, exact redirects (REDIRECT_URI) and origins (LATCHKEY_URL), and 429 for more than 600 requests a
// minute from one address or ten in 5 seconds with one state handle.
func ProductionLimits() Option {
	return func(o *options) { hashes := o.config.Hashes; o.config = config.Dev(true); o.config.Hashes = hashes }
}

// RealHash makes password hashes as expensive as in production.
func RealHash() Option {
	return func(o *options) { o.passwords, o.config.Hashes = password.DefaultParams(), 0 }
}

// LogTo writes the server's log, every level of it, to w. Without it warnings and errors go to the test's log.
func LogTo(w io.Writer) Option {
	return func(o *options) { o.log, o.level = w, slog.LevelDebug }
}

// Start starts a server. It stops when the test ends.
func Start(t testing.TB, with ...Option) *Server {
	t.Helper()
	o := options{config: config.Dev(false), passwords: cheap, log: t.Output(), level: slog.LevelWarn}
	all := &o.config.Limits.Requests // of a test come from one address
	all.PerHandle, all.PerAddress, all.PerClient = plenty, plenty, plenty
	o.config.Hashes = 64 // cheap ones need no queue, and no test wants to be sent away from it
	for _, option := range with {
		option(&o)
	}
	if o.open == nil {
		o.open = inDir(t.TempDir())
	}
	if o.keys == nil {
		var err error
		if o.keys, err = secret.NewKeys([secret.KeySize]byte(secret.Bytes(secret.KeySize))); err != nil {
			t.Fatal("latchkeytest:", err)
		}
	}
	s := &Server{t: t, options: o, keys: o.keys, org: dev.NewOrg(), world: dev.NewWorld(), read: map[string]string{}}
	if err := s.start("127.0.0.1:0"); err != nil {
		t.Fatal("latchkeytest:", err)
	}
	t.Cleanup(s.close)
	return s
}

// start opens the database and serves at an address.
func (s *Server) start(address string) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(s.t.Context()))
	log := slog.New(slog.NewTextHandler(s.options.log, &slog.HandlerOptions{Level: s.options.level}))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		stop()
		return err
	}
	db, err := s.options.open(ctx, s.keys, log)
	if err != nil {
		listener.Close()
		stop()
		return err
	}
	url := "http://" + listener.Addr().String()
	if err := lendKey(ctx, db, s.world.Clock.Now()); err != nil {
		listener.Close()
		db.Close()
		stop()
		return err
	}
	house, err := dev.Open(ctx, dev.Parts{
		Store: db, Keys: s.keys, Org: s.org, Config: s.options.config, Origin: url, World: s.world,
		Passwords: s.options.passwords, Log: log,
	})
	if err != nil {
		listener.Close()
		db.Close()
		stop()
		return err
	}
	server := httptest.NewUnstartedServer(house)
	server.Listener.Close()
	server.Listener, server.Config = listener, house.HTTP()
	server.Start()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.URL, s.Env = url, house.EnvMap()
	s.house, s.http, s.stop, s.ended = house, server, stop, make(chan struct{})
	go func(ended chan struct{}) {
		house.Run(ctx)
		close(ended)
	}(s.ended)
	return nil
}

// close ends the server as a signal would.
func (s *Server) close() {
	s.http.Close()
	s.stop()
	<-s.ended
	if err := s.house.Store().Close(); err != nil {
		s.t.Error("latchkeytest: closing the database:", err)
	}
}

// Restart kills the server in the middle of whatever it is doing and starts it again on the same data, at
// the same address. Nothing that the process held in memory survives; texts that were sent stay sent.
func (s *Server) Restart() {
	s.t.Helper()
	s.http.CloseClientConnections()
	// The database goes first, so that nothing can be tidied up: a process that is killed does not either.
	if err := s.house.Store().Close(); err != nil {
		s.t.Fatal("latchkeytest: restarting:", err)
	}
	s.http.Close()
	s.stop()
	<-s.ended
	if err := s.start(strings.TrimPrefix(s.URL, "http://")); err != nil {
		s.t.Fatal("latchkeytest: restarting:", err)
	}
}

// Client returns an HTTP client that trusts the server. It follows redirects and keeps no cookies.
func (s *Server) Client() *http.Client { return s.http.Client() }

// Handler returns the server as a handler, to be called without a socket.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.current().ServeHTTP(w, r) })
}

func (s *Server) current() *dev.House {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.house
}

// Now is the time by the server's clock.
func (s *Server) Now() time.Time { return s.world.Clock.Now() }

// Advance moves the server's clock on, or back. It goes on running.
func (s *Server) Advance(d time.Duration) { s.world.Clock.Advance(d) }

// SetClock makes it be t by the server's clock. It goes on running.
func (s *Server) SetClock(t time.Time) { s.world.Clock.Set(t) }

// A Message is a text that would have been sent.
type Message struct {
	ID      string
	Channel string // sms
	To      string // E.164
	Body    string
	SentAt  time.Time // by the server's clock
}

var codeIn = regexp.MustCompile(`\b[0-9]{6}\b`)

// Code returns the code in the message, or nothing if there is none.
func (m Message) Code() string { return codeIn.FindString(m.Body) }

// Messages returns what was sent to a number, or to anybody if it is empty, oldest first.
func (s *Server) Messages(to string) []Message {
	all := []Message{}
	for _, text := range s.world.Outbox.Texts(to) {
		all = append(all, messageOf(text))
	}
	return all
}

func messageOf(t outbox.Text) Message { return Message{t.ID, t.Channel, t.To, t.Body, t.At} }

// WaitMessage returns the next message to a number: the oldest that it has not returned yet. It waits for
// one if there is none, and fails the test if none comes.
func (s *Server) WaitMessage(t testing.TB, to string) Message {
	t.Helper()
	s.mu.Lock()
	last := s.read[to]
	s.mu.Unlock()
	texts := s.world.Outbox.Wait(t.Context(), to, last, patience)
	for i := len(texts) - 1; i >= 0; i-- {
		if texts[i].ID == last {
			texts = texts[i+1:]
			break
		}
	}
	if len(texts) == 0 {
		t.Fatalf("latchkeytest: no new message to %s within %s", to, patience)
	}
	s.mu.Lock()
	s.read[to] = texts[0].ID
	s.mu.Unlock()
	return messageOf(texts[0])
}

// Code returns the code in the newest message to a number. It waits for a first one if there is none.
func (s *Server) Code(t testing.TB, to string) string {
	t.Helper()
	texts := s.world.Outbox.Wait(t.Context(), to, "", patience)
	if len(texts) == 0 {
		t.Fatalf("latchkeytest: no message to %s within %s", to, patience)
	}
	newest := messageOf(texts[len(texts)-1])
	code := newest.Code()
	if code == "" {
		t.Fatalf("latchkeytest: no code in %q", newest.Body)
	}
	return code
}

// ClearMessages empties the outbox.
func (s *Server) ClearMessages() { s.world.Outbox.Empty() }

// PinCode fixes the code of all numbers like a pattern, in which * stands for any digits: "+1555*".
func (s *Server) PinCode(pattern, code string) {
	s.t.Helper()
	if err := s.world.Pins.Put(dev.Pin{Pattern: pattern, Code: code}); err != nil {
		s.t.Fatal("latchkeytest:", err)
	}
}

// A Fault is a way in which the carrier of texts misbehaves.
type Fault string

// The faults.
const (
	Refuse Fault = "refuse" // this number gets nothing
	Hang   Fault = "hang"   // no answer
	Fail   Fault = "fail"   // an error that may pass by itself
)

// GatewayFault makes the carrier misbehave towards the numbers like a pattern, as in [Server.PinCode].
func (s *Server) GatewayFault(f Fault, pattern string) {
	s.t.Helper()
	if err := s.current().Break(outbox.Fault(f), pattern); err != nil {
		s.t.Fatal("latchkeytest:", err)
	}
}

// MendGateway ends all faults.
func (s *Server) MendGateway() { s.current().Mend("") }

// Reset goes back to the seed: people, applications, sign-ins, texts, clock, pinned codes and faults.
func (s *Server) Reset() {
	s.t.Helper()
	if err := s.current().Reset(context.WithoutCancel(s.t.Context())); err != nil {
		s.t.Fatal("latchkeytest: resetting:", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = map[string]string{}
}

// A User is somebody who can sign in.
type User struct {
	ID                    string // chosen by the server
	Login                 string // an address; chosen if empty
	Password              string // chosen if empty
	Phone                 string // E.164; empty is none enrolled
	GivenName, FamilyName string
}

// AddUser adds somebody, active at once.
func (s *Server) AddUser(u User) User {
	s.t.Helper()
	if u.Login == "" {
		u.Login = strings.ToLower(ident.NewID("u")) + "@example.com"
	}
	if u.Password == "" {
		u.Password = secret.Random().Reveal()
	}
	added, err := s.current().AddPerson(context.WithoutCancel(s.t.Context()), dev.Person{
		Login: u.Login, Password: u.Password, Phone: u.Phone, GivenName: u.GivenName, FamilyName: u.FamilyName,
	})
	if err != nil {
		s.t.Fatalf("latchkeytest: adding %s: %v", u.Login, err)
	}
	u.ID = string(added.ID)
	return u
}

// A Policy says what an application asks for.
type Policy int

// The policies.
const (
	PasswordAndPhone         Policy = iota
	PasswordOnly                    // nothing more
	PasswordAndOptionalPhone        // a phone may be set up, or skipped
)

// A Client is an application. Its zero value, added, is public and like the seeded one: password and phone,
// and the REDIRECT_URI of the server.
type Client struct {
	ID           string // chosen by the server if empty
	Secret       string // chosen by the server if Confidential
	Label        string
	Confidential bool
	Redirects    []string // exact
	PostLogout   []string // exact; the Redirects if there are none
	Origins      []string // of pages that call the server from a browser
	AnyLoopback  bool     // any redirect and origin of this machine
	Scopes       []string
	Policy       Policy
	// IdentifierFirst asks for the name on a page of its own.
	IdentifierFirst bool
	// AuthenticatesAtInteract: a confidential client proves itself when it begins a sign-in, too.
	AuthenticatesAtInteract bool
	Keys                    string // a JWK set of public keys: the client proves itself by private_key_jwt
	RequiresPAR             bool   // its authorization requests are pushed
	BindsTokens             bool   // its tokens are bound to a key
	FrontChannelLogout      string // where the browser tells it that a session ended
	BackChannelLogout       string // where the server does
}

// AddClient adds an application, or changes the one with the same ID.
func (s *Server) AddClient(c Client) Client {
	s.t.Helper()
	add := oauth.Client{
		ID: oauth.ClientID(c.ID), Label: c.Label, Redirects: c.Redirects, PostLogout: c.Redirects, Origins: c.Origins,
		AnyLoopback: c.AnyLoopback, Scopes: c.Scopes, AuthenticatesAtInteract: c.AuthenticatesAtInteract,
		Keys: c.Keys, RequiresPAR: c.RequiresPAR, BindsTokens: c.BindsTokens,
		FrontChannelLogout: c.FrontChannelLogout, BackChannelLogout: c.BackChannelLogout,
	}
	if c.PostLogout != nil {
		add.PostLogout = c.PostLogout
	}
	switch c.Policy {
	case PasswordAndPhone:
		add.Policy = policy.PasswordAndPhone
	case PasswordOnly:
		add.Policy = policy.PasswordOnly
	case PasswordAndOptionalPhone:
		add.Policy = policy.PasswordAndOptionalPhone
	default:
		s.t.Fatalf("latchkeytest: there is no policy %d", c.Policy)
	}
	add.Policy.IdentifierFirst = c.IdentifierFirst
	if add.Label == "" {
		add.Label = "Test"
	}
	if c.Confidential {
		if c.Secret == "" {
			c.Secret = secret.Random().Reveal()
		}
		add.SecretDigests = []secret.Digest{secret.DigestOf(secret.ClientSecret, c.Secret)}
	}
	added, err := s.current().AddClient(context.WithoutCancel(s.t.Context()), add)
	if err != nil {
		s.t.Fatalf("latchkeytest: adding a client: %v", err)
	}
	c.ID, c.Redirects, c.Scopes = string(added.ID), added.Redirects, added.Scopes
	return c
}

// String names the server in a test's output.
func (s *Server) String() string { return fmt.Sprintf("latchkey at %s", s.URL) }
