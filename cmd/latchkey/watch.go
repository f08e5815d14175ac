package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"latchkey.dev/internal/config"
	"latchkey.dev/internal/metrics"
	"latchkey.dev/internal/ops"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/wire"
)

// A watch is everything beside a server that lets people see what it does: log, metrics, readiness, traces, and the
// listener where they are.
type watch struct {
	log    *slog.Logger
	level  *slog.LevelVar
	door   net.Listener // nil: none is configured
	admin  config.Admin
	traces config.Traces

	counts *metrics.Metrics
	health *ops.Health
	flush  func(context.Context) error // of traces
}

// newWatch makes the log and takes the admin address, so that an address that is taken is said at the start.
func newWatch(ctx context.Context, c config.Config) (*watch, error) {
	w := &watch{level: &slog.LevelVar{}, admin: c.Admin, traces: c.Traces}
	w.level.Set(c.Log.At())
	options := &slog.HandlerOptions{Level: w.level}
	if c.Log.Format == "text" {
		w.log = slog.New(slog.NewTextHandler(os.Stderr, options))
	} else {
		w.log = slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	if c.Admin.Listen == "" {
		return w, nil
	}
	door, err := listenAdmin(ctx, c.Admin)
	if err != nil {
		return nil, fmt.Errorf("the admin listener: %w", err)
	}
	w.door = door
	return w, nil
}

// listenAdmin takes the address. A socket is for its owner alone, and one that a killed server left behind is
// replaced.
func listenAdmin(ctx context.Context, a config.Admin) (net.Listener, error) {
	network, address := a.Network()
	if network == "unix" {
		if conn, err := net.DialTimeout(network, address, time.Second); err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s is in use", address)
		}
		if info, err := os.Stat(address); err == nil && info.Mode()&os.ModeSocket != 0 {
			if err := os.Remove(address); err != nil {
				return nil, err
			}
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if err == nil && network == "unix" {
		err = errors.Join(os.Chmod(address, 0o600))
	}
	return l, err
}

// close gives the address back, where serving it never began.
func (w *watch) close() {
	if w.door != nil {
		w.door.Close()
	}
}

// into has the parts tell what happens. Without an admin listener nobody could ask, and nothing is counted.
func (w *watch) into(p *wire.Parts, db store.DB) {
	w.health = ops.NewHealth(db, time.Now) // this machine's clock: p.Now follows the database's
	p.Ready = w.health.Ready
	p.Tracer, w.flush = tracerOf(w.traces, w.log)
	if w.door != nil {
		w.counts = metrics.New(versionOf())
		p.Watch = w.counts
	}
}

// run looks after readiness, and answers operators, until ctx ends.
func (w *watch) run(ctx context.Context, house *wire.House) error {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { w.health.Run(ctx) })
	if w.door == nil {
		<-ctx.Done()
		return w.end(ctx)
	}
	sources := house.Sources()
	ready := func() bool {
		select {
		case <-house.Stopping():
			return false
		default:
			return w.health.Ready()
		}
	}
	sources.Health = func() (bool, time.Duration) { return ready(), w.health.Skew() }
	w.counts.Look(sources)
	handler, err := ops.New(ops.Config{
		Token: w.admin.Token.Text(), Metrics: w.counts, Health: w.health, Stopping: house.Stopping(), Level: w.level, Log: w.log,
	})
	if err != nil {
		return err
	}
	server := ops.HTTP(handler, w.log)
	defer context.AfterFunc(ctx, func() { server.Close() })()
	w.log.InfoContext(ctx, "answering operators", "listen", w.door.Addr().String())
	if err := server.Serve(w.door); !errors.Is(err, http.ErrServerClosed) {
		w.log.ErrorContext(ctx, "nobody answers operators any more", "error", err)
		return fmt.Errorf("the admin listener: %w", err)
	}
	return w.end(ctx)
}

// end sends the traces that are left.
func (w *watch) end(ctx context.Context) error {
	late, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	if err := w.flush(late); err != nil {
		w.log.WarnContext(ctx, "the last traces were not sent", "error", err)
	}
	return nil
}
