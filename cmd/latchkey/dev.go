package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/config"
	"latchkey.dev/internal/dev"
	"latchkey.dev/internal/store/sqlite"
)

type devCommand struct {
	Addr             string `default:"127.0.0.1:4480" help:"Where to listen; this machine only, port 0 for any." placeholder:"ADDRESS"`
	Data             string `default:".latchkey" help:"Directory of the database, the keys and the seeded secrets." placeholder:"DIR"`
	EnvFile          string `help:"Write the addresses, ids and passwords there, too, as KEY=VALUE." placeholder:"FILE"`
	Reset            bool   `help:"Throw away what is in the data directory and seed anew."`
	ProductionLimits bool   `help:"Use the production numbers: real intervals and caps, unknown users hidden, exact redirects and origins."`
	Requests         int    `help:"For load tests from one machine: how many requests one address may make in a minute, and with one handle in 5 seconds. Zero keeps the production numbers, 600 and 10." placeholder:"N"`
	TLS              bool   `name:"tls" help:"Serve https with a certificate made here, for clients that refuse http issuers."`
	Verbose          bool   `short:"v" help:"Log every request."`
}

// Run serves until ctx ends.
func (c devCommand) Run(ctx context.Context, out io.Writer) error {
	began := time.Now()
	settings := config.Dev(c.ProductionLimits)
	settings.Listen, settings.Data = c.Addr, c.Data
	if c.Requests > 0 {
		all := &settings.Limits.Requests
		all.PerAddress, all.PerHandle, all.PerClient = c.Requests, c.Requests, c.Requests
	}
	if err := settings.Check(); err != nil {
		return err
	}
	settings, _ = fitted(settings)
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", settings.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	dir, err := dev.OpenDir(settings.Data, c.Reset)
	if err != nil {
		return err
	}
	defer dir.Close()
	// Whoever waits for the env file waits for this start, and not for an earlier one.
	if err := os.Remove(c.EnvFile); c.EnvFile != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	settings.Origin = originOf(settings.Listen, listener.Addr(), c.TLS)
	var secure *tls.Config
	var authority string
	if c.TLS {
		if secure, authority, err = dir.TLS(); err != nil {
			return err
		}
	}
	db, err := sqlite.Open(ctx, dir.Database(), dir.Keys)
	if err != nil {
		return err
	}
	house, err := dev.Open(ctx, dev.Parts{
		Store: db, Keys: dir.Keys, Org: dir.Org, Config: settings, Origin: settings.Origin, World: dev.NewWorld(),
		Passwords: password.DefaultParams(), Log: log,
	})
	if err != nil {
		return errors.Join(err, db.Close())
	}
	if dir.New {
		debug.FreeOSMemory() // seeding hashed three passwords at once; nobody needs those 57 MiB again
	}
	env := house.Env()
	if authority != "" {
		env = append(env, dev.Pair{Name: "CA_FILE", Value: authority})
	}
	for _, file := range []string{dir.EnvFile(), c.EnvFile} {
		if file != "" {
			if err := dev.WriteEnv(file, env); err != nil {
				return errors.Join(fmt.Errorf("writing the env file: %w", err), db.Close())
			}
		}
	}
	welcome(out, house, dir, settings, authority, time.Since(began))

	// What goes on beside the requests ends after them: the last of them may still send a message.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var beside sync.WaitGroup
	beside.Go(func() { house.Run(background) })
	err = house.Serve(ctx, listener, secure, settings.Linger)
	end()
	beside.Wait()
	return errors.Join(err, db.Close())
}

// originOf is the address that everything is built from: the host as it was given, the port as it came to be.
func originOf(listen string, bound net.Addr, secure bool) string {
	host, _, _ := net.SplitHostPort(listen)
	_, port, _ := net.SplitHostPort(bound.String())
	if secure {
		return "https://" + net.JoinHostPort(host, port)
	}
	return "http://" + net.JoinHostPort(host, port)
}

// welcome says what to open, whom to sign in as, where texts appear, and what is not as in production.
func welcome(out io.Writer, h *dev.House, dir *dev.Dir, settings config.Config, authority string, took time.Duration) {
	env := h.EnvMap()
	var b strings.Builder
	line := func(what, is string) { fmt.Fprintf(&b, "  %-9s %s\n", what, is) }
	fmt.Fprintf(&b, "Latchkey dev, ready in %d ms.\n\n", took.Milliseconds())
	line("Open", env["LATCHKEY_URL"]+"/")
	line("Sign in", env["SIGNIN_URL"])
	line("as", fmt.Sprintf("%-20s %-32s password, then a phone to set up", env["USERNAME"], env["PASSWORD"]))
	line("", fmt.Sprintf("%-20s %-32s password, then a text to %s", env["USERNAME_ENROLLED"], env["PASSWORD_ENROLLED"], env["PHONE_ENROLLED"]))
	line("", fmt.Sprintf("%-20s %-32s password alone, with CLIENT_ID_1FA", env["USERNAME_1FA"], env["PASSWORD_1FA"]))
	line("Texts", env["OUTBOX_URL"])
	line("Issuer", env["ISSUER"])
	line("Client", env["CLIENT_ID"])
	line("Env file", short(dir.EnvFile()))
	line("Data", short(dir.Path))
	if authority != "" {
		line("Trust", short(authority)+"  the authority of this server's certificate; it vouches for this machine alone")
	}
	b.WriteString("\nNot as in production: texts are captured, and /dev/ hands out codes, on this machine alone")
	for _, relaxed := range settings.Relaxed() {
		b.WriteString(";\n  " + relaxed)
	}
	b.WriteString(".\n")
	_, _ = io.WriteString(out, b.String())
}

// short shows a path from where we are, if that is shorter.
func short(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}
