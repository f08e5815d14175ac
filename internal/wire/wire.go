// Package wire is the parts list: which rooms there are in a running server, and how they are put together.
//
// [Build] is the list, and the only function that knows every part. Adding an authenticator or a gateway
// adds a line here and a folder of its own. What runs beside the requests is in run.go.
package wire

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/trace"

	"latchkey.dev/internal/account"
	"latchkey.dev/internal/authn"
	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/courier"
	"latchkey.dev/internal/deliver"
	"latchkey.dev/internal/device"
	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/idxapi"
	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/meter"
	"latchkey.dev/internal/metrics"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/obs"
	"latchkey.dev/internal/op"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/receipts"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/server"
	"latchkey.dev/internal/session"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/trail"
	"latchkey.dev/signin"
)

// Parts are what differs from one server to the next.
type Parts struct {
	Store    store.DB
	Keys     *secret.Keys
	Gateways []gateway.Gateway // for text messages, in the order in which they are tried
	Mail     []gateway.Gateway // for e-mail; none sends no notices
	Now      func() time.Time
	Log      *slog.Logger

	Origin        string
	Loopback      bool // answer to every name of this machine
	Proxies       []netip.Prefix
	Countries     []int
	Regions       []string
	Routes        deliver.Routes
	Prices        *deliver.Prices // of the ledger; nil keeps none
	Reports       string          // where carriers may report; empty asks for no reports
	RevealUnknown bool
	Flow          limit.Flow
	Session       limit.Session // of browsers; zero is production's
	Codes         limit.Codes
	Sends         limit.Sends
	Guesses       limit.Passwords // zero is production's
	Rates         limit.Requests  // zero limits nothing
	AtOnce        int             // requests; zero is 256 for each core
	Connections   int             // zero is 10,000
	Neighbours    int             // of those, from one source; zero is 200
	Passwords     password.Params
	Hashes        int
	Pin           func(number string) (code string, ok bool) // dev: codes known beforehand

	Watch     obs.Watcher   // is told what happens; nil is nobody
	Tracer    trace.Tracer  // nil traces nothing
	Ready     func() bool   // what /readyz says; nil is always
	Retention time.Duration // of the audit log; zero is for good

	// Pages makes what is shown beside the endpoints; it gets the finished house to be a client of.
	Pages func(house http.Handler) (http.Handler, error)
}

// A House is a server, ready to be given a listener. [House.Run] must run beside it.
type House struct {
	*server.Server
	Worker *deliver.Worker

	store    store.DB
	ring     *keys.Ring
	op       *op.API
	meter    *meter.Meter
	sessions *session.Sessions
	trail    *trail.Keeper
	signIn   *engine.Engine
	now      func() time.Time
	log      *slog.Logger
	node     string // what this process calls itself among others
}

// Build puts the parts together.
func Build(ctx context.Context, p Parts) (*House, error) {
	if db, ok := p.Store.(interface{ Watch(obs.Watcher) }); ok && p.Watch != nil {
		db.Watch(p.Watch)
	}
	ring, err := keys.Open(ctx, p.Store, p.Now)
	if err != nil {
		return nil, err
	}
	worker := deliver.New(deliver.Config{
		Store: p.Store, Keys: p.Keys, Gateways: p.Gateways, Mail: p.Mail, Routes: p.Routes, Prices: p.Prices, Reports: p.Reports,
		Now: p.Now, Log: p.Log, Watch: p.Watch,
	})
	signIn, err := engine.New(engine.Config{
		Store: p.Store,
		Keys:  p.Keys,
		Plugins: []authn.Authenticator{
			password.New(p.Passwords),
			phone.New(phone.Config{Keys: p.Keys, Countries: p.Countries, Regions: p.Regions, Pin: p.Pin}),
		},
		Sender:        worker,
		Now:           p.Now,
		Flow:          p.Flow,
		Session:       p.Session,
		Codes:         p.Codes,
		Sends:         p.Sends,
		Passwords:     p.Guesses,
		Price:         worker.Price,
		Mail:          len(p.Mail) > 0,
		RevealUnknown: p.RevealUnknown,
		Origin:        p.Origin,
		Hashes:        p.Hashes,
		Log:           p.Log,
	})
	if err != nil {
		return nil, err
	}
	h := &House{node: ident.NewID("nod"), Worker: worker, store: p.Store, ring: ring, now: p.Now, log: p.Log}
	h.signIn = signIn
	h.trail = trail.New(trail.Config{Store: p.Store, Keys: p.Keys, Now: p.Now, Retention: p.Retention})
	h.meter = meter.New(meter.Config{Store: p.Store, Shared: shared(p.Store), Now: p.Now})
	h.sessions = session.New(session.Config{
		Store: p.Store, Keys: p.Keys, Now: p.Now, Limits: p.Session, Log: p.Log,
		Issuer: func(server string) string { return oauth.Issuer(p.Origin, server) },
		Sign: func(ctx context.Context, claims any) (string, error) {
			signer, err := ring.Signer(ctx)
			if err != nil {
				return "", err
			}
			return signer.Sign(claims)
		},
		Post: courier.NewHerald().Post,
	})
	house := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) })
	hosted, err := signin.New(signin.Config{
		Hosted: true, Engine: server.Local{Handler: house}, URL: p.Origin + "/signin", Keys: [][32]byte{[32]byte(p.Keys.MAC(secret.MACPages))},
		Logger: p.Log, Now: p.Now,
		Account: accounts{account.New(account.Config{Store: p.Store, Engine: signIn, Browsers: h.sessions, Now: p.Now})},
		Visitor: func(r *http.Request) (string, bool) { return h.op.Visitor(r) }, Renew: func(w http.ResponseWriter, value string) { h.op.Renew(w, secret.Text(value)) },
		SignIn: accountSignIn, ChangePhone: op.AccountPhone("/account/phone"),
	})
	if err != nil {
		return nil, err
	}
	h.op = op.New(op.Config{
		SignIn: func(w http.ResponseWriter, r *http.Request, to op.Handoff) error {
			return hosted.Begin(w, r, signin.Handoff{
				InteractionHandle: to.Interaction.Reveal(), AppName: to.AppName, Username: to.Username, Target: to.Target, Language: to.Languages,
				Back: to.Back,
			})
		},
		Store: p.Store, Keys: ring, Secrets: p.Keys, Engine: signIn, Sessions: h.sessions, Origin: p.Origin, Now: p.Now, Log: p.Log,
		Count:   h.counting("authorize", p.Rates.PerClient),
		Devices: device.New(device.Config{Store: p.Store, Now: p.Now}), CountCode: h.counting("user code", p.Rates.PerCode),
		Apps: org.New(org.Config{Store: p.Store, Passwords: p.Passwords, Now: p.Now, Actor: "registration"}),
	})
	pages := http.NewServeMux()
	pages.Handle("/signin", hosted)
	pages.Handle("/signin/", hosted)
	account := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hosted.ServeHTTP(w, h.op.OnDevice(r)) })
	pages.Handle("/account", account)
	pages.Handle("/account/", account)
	if p.Pages != nil {
		more, err := p.Pages(house)
		if err != nil {
			return nil, err
		}
		pages.Handle("/", more)
	}
	h.Server, err = server.New(server.Config{
		Origin:   p.Origin,
		Loopback: p.Loopback,
		Proxies:  p.Proxies,
		Clients:  h.clients,
		IDX: idxapi.New(idxapi.Config{
			Engine: signIn, Origin: p.Origin, Log: p.Log,
			Count: h.counting("handle", p.Rates.PerHandle), Crowded: func() bool { return h.Crowded() },
		}),
		Count:       h.counting("address", p.Rates.PerAddress),
		Busy:        signIn.Overloaded,
		Admit:       signIn.Admit,
		Requests:    p.AtOnce,
		Connections: p.Connections,
		Neighbours:  p.Neighbours,
		OAuth:       h.op,
		Reports:     receipts.New(worker, p.Log),
		Pages:       pages,
		Log:         p.Log,
		Watch:       p.Watch,
		Tracer:      p.Tracer,
		Ready:       p.Ready,
	})
	return h, err
}

// Forget drops everything that is held in memory of what the database holds. It is for whoever has just
// changed the organisation behind our back.
func (h *House) Forget(ctx context.Context) error {
	h.ForgetOrigins()
	h.op.Forget()
	h.Worker.Forgive()
	h.meter.Forget()
	return h.ring.Reload(ctx)
}

// Sources are what metrics look at.
func (h *House) Sources() metrics.Sources {
	return metrics.Sources{
		Hashing: h.signIn.Hashing, Breakers: h.Worker.Breakers, Key: h.ring.Age, Now: h.now,
		Backlogs: func(ctx context.Context) (b store.Backlogs, err error) {
			err = h.store.View(ctx, func(tx store.Tx) error {
				b, err = tx.Backlogs(ctx)
				return err
			})
			return b, err
		},
	}
}

// counting counts requests of one kind.
func (h *House) counting(kind string, w limit.Window) func(context.Context, string) (limit.Reading, error) {
	return func(ctx context.Context, what string) (limit.Reading, error) {
		return h.meter.Count(ctx, kind, what, w)
	}
}

// shared reports whether other nodes may work on a database. One that does not say may have them.
func shared(db store.DB) bool {
	s, ok := db.(interface{ Shared() bool })
	return !ok || s.Shared()
}

func (h *House) clients(ctx context.Context) (all []oauth.Client, err error) {
	err = h.store.View(ctx, func(tx store.Tx) error {
		all, err = tx.Clients(ctx)
		return err
	})
	return all, err
}
