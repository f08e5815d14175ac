package server

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestALimitedContextEndsInTime(t *testing.T) {
	gone, leave := context.WithCancel(context.Background())
	leave()
	tests := map[string]struct {
		parent context.Context
		listen bool
		wait   time.Duration
		want   error
	}{
		"in time":                    {parent: context.Background(), wait: time.Second - 1},
		"in time, listened to":       {parent: context.Background(), listen: true, wait: time.Second - 1},
		"late":                       {parent: context.Background(), wait: time.Second, want: context.DeadlineExceeded},
		"late, listened to":          {parent: context.Background(), listen: true, wait: time.Second, want: context.DeadlineExceeded},
		"nobody waits":               {parent: gone, want: context.Canceled},
		"nobody waits, listened to":  {parent: gone, listen: true, want: context.Canceled},
		"nobody waits, and late too": {parent: gone, wait: time.Hour, want: context.Canceled},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := withDeadline(test.parent, time.Second)
				defer ctx.end()
				var done <-chan struct{}
				if test.listen {
					done = ctx.Done()
				}
				time.Sleep(test.wait)
				synctest.Wait()
				if err := ctx.Err(); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
					t.Errorf("says %v, want %v", err, test.want)
				}
				if !test.listen {
					done = ctx.Done()
					synctest.Wait()
				}
				select {
				case <-done:
					if test.want == nil {
						t.Error("is over")
					}
				default:
					if test.want != nil {
						t.Error("is not over")
					}
				}
			})
		})
	}
}

type key struct{}

func TestContextsOfALimitedOneEndWithItWithoutAGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := withDeadline(context.WithValue(context.Background(), key{}, "value"), time.Second)
		before := runtime.NumGoroutine()
		child, done := context.WithCancel(ctx)
		defer done()
		if n := runtime.NumGoroutine(); n != before {
			t.Errorf("%d goroutines more", n-before)
		}
		if v := child.Value(key{}); v != "value" {
			t.Errorf("value is %v", v)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if child.Err() != context.DeadlineExceeded {
			t.Errorf("says %v", child.Err())
		}
	})
}

func TestEndingALimitedContextEndsWhatWasMadeOfIt(t *testing.T) {
	ctx := withDeadline(t.Context(), time.Hour)
	child, done := context.WithCancel(ctx)
	defer done()
	ctx.end()
	if child.Err() != context.Canceled || ctx.Err() != context.Canceled {
		t.Errorf("say %v and %v", child.Err(), ctx.Err())
	}
}
