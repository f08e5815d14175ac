package ops

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey.dev/internal/store"
)

// A db is a database that answers as the test says.
type db struct {
	store.DB
	away, mute atomic.Bool
	ahead      time.Duration
}

func (d *db) Now(ctx context.Context) (time.Time, error) {
	if d.mute.Load() {
		<-ctx.Done()
		return time.Time{}, ctx.Err()
	}
	if d.away.Load() {
		return time.Time{}, fmt.Errorf("refused: %w", store.ErrUnavailable)
	}
	return time.Now().Add(d.ahead), nil
}

func (d *db) View(context.Context, func(store.Tx) error) error { return nil }

func within5s(t *testing.T, h *Health, ready bool) {
	t.Helper()
	time.Sleep(5 * time.Second) // of the bubble's clock
	synctest.Wait()
	if h.Ready() != ready {
		t.Errorf("ready is %v after 5 s: %v", h.Ready(), h.Why())
	}
}

func TestS80_ReadinessDropsWithinFiveSeconds(t *testing.T) {
	for name, gone := range map[string]func(*db, bool){
		"refused":      func(d *db, is bool) { d.away.Store(is) },
		"never answer": func(d *db, is bool) { d.mute.Store(is) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &db{}
				h := NewHealth(d, time.Now)
				if h.Ready() {
					t.Error("ready before it looked")
				}
				ctx, end := context.WithCancel(t.Context())
				go h.Run(ctx)
				within5s(t, h, true)
				gone(d, true)
				within5s(t, h, false)
				gone(d, false)
				within5s(t, h, true)
				end()
				synctest.Wait()
				if h.Ready() {
					t.Error("S-78: ready after it was told to stop")
				}
			})
		})
	}
}

func TestS82_AClockThatIsOffIsNotReady(t *testing.T) {
	for ahead, ready := range map[time.Duration]bool{
		0: true, 29 * time.Second: true, -29 * time.Second: true, 31 * time.Second: false, -31 * time.Second: false, -time.Hour: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			h := NewHealth(&db{ahead: ahead}, time.Now)
			ctx, end := context.WithCancel(t.Context())
			defer end()
			go h.Run(ctx)
			within5s(t, h, ready)
			if !ready && !strings.Contains(strings.Join(h.Why(), " "), "clock") {
				t.Errorf("%s: %v", ahead, h.Why())
			}
			if h.Skew().Round(time.Second) != -ahead {
				t.Errorf("the skew is %s, want %s", h.Skew(), -ahead)
			}
		})
	}
}

func TestS78_WhoIsToldToStopIsNotReadyWhateverTheHealth(t *testing.T) {
	h, stopping := NewHealth(&db{}, time.Now), make(chan struct{})
	h.last.Store(&look{at: time.Now()})
	handler, err := New(Config{
		Token: token, Level: &slog.LevelVar{}, Log: slog.New(slog.DiscardHandler), Health: h, Stopping: stopping,
		Metrics: http.NotFoundHandler(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (int, string) {
		r := httptest.NewRequest(http.MethodGet, "/readyz", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		out := httptest.NewRecorder()
		handler.ServeHTTP(out, r)
		return out.Code, out.Body.String()
	}
	if status, said := ask(); status != http.StatusOK || !strings.Contains(said, `"ready"`) {
		t.Errorf("%d %s", status, said)
	}
	close(stopping)
	if status, said := ask(); status != http.StatusServiceUnavailable || !strings.Contains(said, "stopping") {
		t.Errorf("%d %s", status, said)
	}
}
