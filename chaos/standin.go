//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"latchkey.dev/internal/authn/password"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/gateway/webhook"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/wire"
)

const standInArg = "stand-in"

type standInConfig struct {
	Listen, Origin, Data, DSN, Secret string
	URLs                              []string
	Master                            []byte
	NoResend                          bool
}

func (n *node) standIn() *exec.Cmd {
	self, _ := os.Executable()
	c := standInConfig{Listen: n.addr, Origin: "http://" + n.h.proxy.addr, Data: n.h.data(), DSN: n.h.database, Secret: n.h.carrier.secret, Master: n.h.master, URLs: []string{n.h.carrier.url}, NoResend: strings.Contains(n.h.dir, "sends")}
	if n.h.more != nil {
		c.URLs = append(c.URLs, n.h.more.url)
	}
	text, _ := json.Marshal(c)
	return exec.Command(self, standInArg, string(text))
}

func standIn(text string) error {
	var c standInConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	keys, err := secret.NewKeys([secret.KeySize]byte(c.Master))
	if err != nil {
		return err
	}
	var db store.DB
	if c.DSN != "" {
		db, err = postgres.Open(ctx, c.DSN, keys, log)
	} else {
		db, err = sqlite.Open(ctx, c.Data, keys)
	}
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	var gs []gateway.Gateway
	for _, u := range c.URLs {
		g, err := webhook.New(webhook.Config{Name: u, URL: u, Secrets: []secret.Text{secret.Text(c.Secret)}})
		if err != nil {
			return err
		}
		gs = append(gs, g)
	}
	codes := limit.DefaultCodes()
	if c.NoResend {
		codes.Resend = 0
	}
	h, err := wire.Build(ctx, wire.Parts{
		Store: db, Keys: keys, Gateways: gs, Now: time.Now, Log: log, Origin: c.Origin, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Countries: []int{1}, Flow: limit.DefaultFlow(), Codes: codes, Sends: limit.DefaultSends(), Passwords: password.DefaultParams(),
	})
	if err != nil {
		return err
	}
	background, end := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	beside.Go(func() { h.Run(background) })
	err = h.Serve(ctx, l, nil, 2*time.Second)
	end()
	beside.Wait()
	return errors.Join(err, db.Close())
}
