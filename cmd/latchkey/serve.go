package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/config"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/server"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/wire"
)

type serveCommand struct{ configured }

// Run serves until it is told to stop. Whatever is not as it should be is said before the first request, and
// all at once.
func (c serveCommand) Run(ctx context.Context, out io.Writer) error {
	settings, err := c.read()
	if err != nil {
		return err
	}
	doubtful := doubts(settings)
	settings, _ = fitted(settings)
	seen, err := newWatch(ctx, settings)
	if err != nil {
		return err
	}
	defer seen.close()
	log := seen.log
	for _, doubt := range doubtful {
		log.WarnContext(ctx, doubt)
	}
	keys, err := openKeys(ctx, settings.Keys)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", settings.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	db, err := openStore(ctx, settings, keys, log, whenMigrating(settings.Database)...)
	if err != nil {
		return err
	}
	return errors.Join(serve(ctx, settings, listener, db, keys, seen, out), db.Close())
}

func serve(ctx context.Context, settings config.Config, listener net.Listener, db store.DB, keys *secret.Keys, seen *watch, out io.Writer) error {
	log := seen.log
	parts, err := partsOf(settings, db, keys, log)
	if err != nil {
		return err
	}
	clock := wire.NewClock(time.Now, db, log)
	if err := clock.Compare(ctx); err != nil {
		return err
	}
	parts.Now = clock.Now
	seen.into(&parts, db)
	house, err := wire.Build(ctx, parts)
	if err != nil {
		return err
	}
	secure, err := tlsOf(settings, db, log)
	if err != nil {
		return err
	}
	log.InfoContext(ctx, "serving", "origin", settings.Origin, "listen", listener.Addr().String())
	fmt.Fprintf(out, "Latchkey serves %s on %s.\n", settings.Origin, listener.Addr())
	tellSystemd("READY=1", log)
	defer context.AfterFunc(ctx, func() { tellSystemd("STOPPING=1", log) })()

	// What goes on beside the requests ends after them: the last of them may still send a message.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var beside sync.WaitGroup
	beside.Go(func() { clock.Run(background) })
	beside.Go(func() { house.Run(background) })
	var blind error
	beside.Go(func() { blind = seen.run(background, house) })
	err = house.Serve(ctx, listener, secure, settings.Linger)
	end()
	beside.Wait()
	return errors.Join(err, blind)
}

// partsOf gives the rooms their fields.
func partsOf(c config.Config, db store.DB, keys *secret.Keys, log *slog.Logger) (wire.Parts, error) {
	p := wire.Parts{
		Store:         db,
		Keys:          keys,
		Now:           time.Now,
		Log:           log,
		Origin:        c.Origin,
		Proxies:       c.Proxies,
		Countries:     c.Countries.Codes(),
		Regions:       c.Countries.Regions(),
		RevealUnknown: c.UnknownUsers == config.Reveal,
		Flow:          limit.Flow(c.Flow),
		Session:       limit.Session(c.Session),
		Codes:         limit.Codes(c.Codes),
		Sends:         c.Sends,
		Guesses:       c.Limits.Guesses(),
		Rates:         c.Limits.Rates(),
		AtOnce:        c.Limits.Requests.AtOnce,
		Connections:   c.Limits.Connections.All,
		Neighbours:    c.Limits.Connections.PerSource,
		Passwords:     password.DefaultParams(),
		Hashes:        c.Hashes,
		Retention:     c.Retention.Audit,
	}
	return p, messages(c, &p)
}

// tlsOf is how https is spoken; nil if a proxy does.
func tlsOf(c config.Config, db store.DB, log *slog.Logger) (*tls.Config, error) {
	switch {
	case c.TLS.ACME != nil:
		return server.ACME(server.Authority{
			Origin: c.Origin, Email: c.TLS.ACME.Email, Directory: c.TLS.ACME.Directory, Roots: c.TLS.ACME.Roots, Store: db, Log: log,
		})
	case c.TLS.Cert != "":
		return server.Certificate(c.TLS.Cert, c.TLS.Key, log)
	}
	return nil, nil
}
