//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
)

// A house is an organisation on one database, the nodes that serve it, and what is around them.
type house struct {
	dir      string
	program  string
	carrier  *carrier
	more     *carrier // a second gateway, where there is one
	proxy    *proxy
	keys     *secret.Keys
	database string // the dsn of a PostgreSQL; empty is SQLite in dir
	client   oauth.ClientID
	nodes    []*node
	people   people
}

// A node is one `latchkey serve`, and the place where it runs again after it was killed.
type node struct {
	h    *house
	addr string
	file string // its latchkey.yaml
	*process
}

// A plot says what to build.
type plot struct {
	name     string
	nodes    int
	database string // dsn, or empty
	people   int
	more     bool   // a second gateway
	extra    string // more lines for latchkey.yaml
}

const passphrase = "seven pale herons wait"

// build makes the organisation and starts its nodes.
func (c *chaos) build(p plot) (_ *house, err error) {
	h := &house{dir: filepath.Join(c.dir, p.name), program: c.program, database: p.database}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return h, err
	}
	var master [secret.KeySize]byte
	rand.Read(master[:])
	if err := h.write("master.key", base64.StdEncoding.EncodeToString(master[:])+"\n"); err != nil {
		return h, err
	}
	if err := h.write("postgres.url", p.database+"\n"); err != nil {
		return h, err
	}
	if h.keys, err = secret.NewKeys(master); err != nil {
		return h, err
	}
	if h.carrier, err = newCarrier(); err != nil {
		return h, err
	}
	if p.more {
		if h.more, err = newCarrier(); err != nil {
			return h, err
		}
	}
	if err := h.write("carrier.secret", h.carrier.secret+"\n"); err != nil {
		return h, err
	}
	if h.proxy, err = newProxy("127.0.0.1:0"); err != nil {
		return h, err
	}
	if err := h.seed(p.people); err != nil {
		return h, fmt.Errorf("seeding: %w", err)
	}
	for i := range p.nodes {
		n := &node{h: h, file: filepath.Join(h.dir, fmt.Sprintf("latchkey-%d.yaml", i))}
		if n.addr, err = freeAddr(); err != nil {
			return h, err
		}
		if err := os.WriteFile(n.file, []byte(h.yaml(n, i)+p.extra), 0o600); err != nil {
			return h, err
		}
		h.nodes = append(h.nodes, n)
		if _, err := n.start(); err != nil {
			return h, err
		}
		h.proxy.add(n.addr)
	}
	return h, nil
}

func (h *house) write(name, text string) error {
	return os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600)
}

func (h *house) data() string { return filepath.Join(h.dir, "data") }

// close ends everything that was started.
func (h *house) close() {
	for _, n := range h.nodes {
		if n.process != nil {
			n.kill()
		}
	}
	if h.proxy != nil {
		h.proxy.close()
	}
	for _, c := range []*carrier{h.carrier, h.more} {
		if c != nil {
			c.close()
		}
	}
}

// yaml is a node's configuration: production, as an operator would write it.
func (h *house) yaml(n *node, i int) string {
	data := h.data()
	if i > 0 {
		data = fmt.Sprintf("%s-%d", data, i)
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("listen: %s", n.addr)
	line("origin: http://%s", h.proxy.addr)
	line("data: %s", data)
	line("proxies: [127.0.0.0/8]")
	if h.database != "" {
		line("database: {postgres: {url: {file: %s}}}", filepath.Join(h.dir, "postgres.url"))
	} else {
		line("database: {sqlite: {}}")
	}
	line("keys: {master: [{file: %s}]}", filepath.Join(h.dir, "master.key"))
	line("countries: [1]")
	b.WriteString(h.messages())
	return b.String()
}

// start runs the node and says how long it took until it answered well.
func (n *node) start() (ready time.Duration, err error) {
	cmd := exec.Command(n.h.program, "serve", "--config", n.file)
	began := time.Now()
	if n.process, err = launch(cmd); err != nil {
		return 0, err
	}
	err = await(60*time.Second, "a node's first answer", func() bool { return n.ended() || n.answers() })
	if err == nil && n.ended() {
		err = errors.New("it ended by itself")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(n.file), err, n.out)
	}
	return time.Since(began), err
}

// answers reports whether the node serves: what it says has to come out of the database.
func (n *node) answers() bool {
	ctx, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	status, _, err := n.h.proxy.ask(ctx, n.addr, "/oauth2/default/.well-known/openid-configuration")
	return err == nil && status == 200
}

// ready is what the node says to a load balancer.
func (n *node) ready() bool {
	ctx, done := context.WithTimeout(context.Background(), 2*time.Second)
	defer done()
	status, _, err := n.h.proxy.ask(ctx, n.addr, "/readyz")
	return err == nil && status == 200
}

// untilUnready is how long it takes until a node says that it is not to be sent anything. One that never does takes
// longer than any promise.
func (h *house) untilUnready(most time.Duration) time.Duration {
	began := time.Now()
	if await(most, "unreadiness", func() bool { return !h.nodes[0].ready() }) != nil {
		return time.Hour
	}
	return time.Since(began)
}

// open is the database, from below.
func (h *house) open(ctx context.Context) (store.DB, error) {
	if h.database != "" {
		return postgres.Open(ctx, h.database, h.keys, slog.New(slog.DiscardHandler))
	}
	return sqlite.Open(ctx, h.data(), h.keys)
}

func (h *house) issuer() string { return "http://" + h.proxy.addr + "/oauth2/default" }

const redirect = "http://127.0.0.1/callback"

// seed writes the organisation: one application, password and phone, and people with both.
func (h *house) seed(n int) (err error) {
	ctx := context.Background()
	db, err := h.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	now := time.Now().UTC()
	h.client = oauth.ClientID(ident.NewID("0oa"))
	pw, ph := ident.AuthenticatorID(ident.NewID("aut")), ident.AuthenticatorID(ident.NewID("aut"))
	err = db.Update(ctx, func(tx store.Tx) error {
		return errors.Join(
			tx.PutServer(ctx, oauth.DefaultServer()),
			tx.PutAuthenticator(ctx, ident.Authenticator{ID: pw, Kind: ident.Password, Key: "okta_password", Methods: []ident.Method{ident.MethodPassword}}),
			tx.PutAuthenticator(ctx, ident.Authenticator{ID: ph, Kind: ident.Phone, Key: "phone_number", Methods: []ident.Method{ident.MethodSMS}}),
			tx.PutClient(ctx, oauth.Client{
				ID: h.client, Label: "Chaos", Redirects: []string{redirect}, Policy: policy.PasswordAndPhone,
				Grants: []oauth.GrantType{oauth.InteractionCode, oauth.RefreshToken}, Scopes: oauth.DefaultServer().Scopes, Created: now,
			}),
		)
	})
	if err != nil {
		return err
	}
	hash := password.New(password.DefaultParams()).Hash(passphrase) // one for all: hashing is not what this is about
	for begin := 0; begin < n; begin += 2000 {
		var some []store.Person
		for i := begin; i < min(n, begin+2000); i++ {
			some = append(some, personOf(i, hash, pw, ph, now))
		}
		err := db.Update(ctx, func(tx store.Tx) error {
			taken, err := tx.AddPeople(ctx, some)
			if err == nil && len(taken) > 0 {
				err = fmt.Errorf("%d people are there already", len(taken))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	h.people.n = n
	return nil
}

// personOf is the i-th: every other one has no phone yet.
func personOf(i int, hash secret.Text, pw, ph ident.AuthenticatorID, now time.Time) store.Person {
	p := person(i)
	u := ident.User{
		ID: ident.UserID(ident.NewID("00u")), Login: p.login(), Status: ident.Active, GivenName: "Person", FamilyName: fmt.Sprint(i),
		Email: p.login(), EmailVerified: true, Locale: "en_US", Zone: "Europe/Zurich", Created: now, Updated: now,
	}
	all := []ident.Enrollment{{
		ID: ident.EnrollmentID(ident.NewID("lae")), User: u.ID, Authenticator: pw, Kind: ident.Password, Method: ident.MethodPassword,
		Secret: hash, Created: now,
	}}
	if p.enrolled() {
		all = append(all, ident.Enrollment{
			ID: ident.EnrollmentID(ident.NewID("sms")), User: u.ID, Authenticator: ph, Kind: ident.Phone, Method: ident.MethodSMS,
			Secret: secret.Text(p.number()), Hint: phone.Mask(p.number()), Created: now,
		})
	}
	return store.Person{User: u, Enrollments: all}
}
