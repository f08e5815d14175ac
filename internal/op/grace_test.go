package op_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

const noRefresh = "The refresh token is invalid or expired."

// grace sets how long a used refresh token is forgiven.
func (o *org) grace(d time.Duration) *org {
	o.t.Helper()
	s := oauth.DefaultServer()
	s.Grace = d
	o.write(func(tx store.Tx) error { return tx.PutServer(ctx, s) })
	o.api.Forget()
	return o
}

func TestS60_Grace(t *testing.T) {
	ended := func(t *testing.T, o *org, all ...tokens) {
		t.Helper()
		for i, got := range all {
			o.refresh(got.Refresh).refused(400, oauth.InvalidGrant, noRefresh)
			o.userinfo(got.Access).refused(401, oauth.InvalidToken, "")
			if a := o.introspect(basic(appID), got.Access).ok(); a.Body.String() != `{"active":false}` {
				t.Errorf("access token %d: %s", i, a.Body)
			}
		}
		if len(o.events(audit.RefreshReused)) == 0 {
			t.Error("S-71: not recorded")
		}
	}
	t.Run("the same successor again", func(t *testing.T) {
		o := newOrg(t).grace(30 * time.Second)
		first := o.signIn("openid email offline_access")
		second := decode[tokens](o.refresh(first.Refresh).ok())
		o.wait(30*time.Second - time.Microsecond)
		again := decode[tokens](o.refresh(first.Refresh, "scope", "openid").ok())
		if again.Refresh != second.Refresh || again.Access == second.Access || again.Scope != "openid" {
			t.Errorf("%+v after %+v", again, second)
		}
		o.userinfo(second.Access).ok()
		o.userinfo(again.Access).ok()
		third := decode[tokens](o.refresh(second.Refresh).ok())
		if third.Refresh == second.Refresh || third.Refresh == first.Refresh {
			t.Error("it does not rotate")
		}
	})
	t.Run("after it the family ends", func(t *testing.T) {
		o := newOrg(t).grace(30 * time.Second)
		first := o.signIn("openid offline_access")
		second := decode[tokens](o.refresh(first.Refresh).ok())
		o.wait(30 * time.Second)
		o.refresh(first.Refresh).refused(400, oauth.InvalidGrant, noRefresh)
		ended(t, o, first, second)
	})
	t.Run("once the successor was used nothing was lost", func(t *testing.T) {
		o := newOrg(t).grace(30 * time.Second)
		first := o.signIn("openid offline_access")
		second := decode[tokens](o.refresh(first.Refresh).ok())
		third := decode[tokens](o.refresh(second.Refresh).ok())
		o.refresh(first.Refresh).refused(400, oauth.InvalidGrant, noRefresh)
		ended(t, o, first, second, third)
	})
	t.Run("no longer than a minute, whatever is stored", func(t *testing.T) {
		o := newOrg(t).grace(time.Hour)
		first := o.signIn("openid offline_access")
		second := decode[tokens](o.refresh(first.Refresh).ok())
		o.wait(time.Minute)
		o.refresh(first.Refresh).refused(400, oauth.InvalidGrant, noRefresh)
		ended(t, o, first, second)
	})
	t.Run("not another client's", func(t *testing.T) {
		o := newOrg(t).grace(30 * time.Second)
		o.client("0oa1other", nil)
		first := o.signIn("openid offline_access")
		second := decode[tokens](o.refresh(first.Refresh).ok())
		o.form(base+"v1/token", nil, "grant_type", "refresh_token", "refresh_token", first.Refresh, "client_id", "0oa1other").refused(400, oauth.InvalidGrant, noRefresh)
		o.refresh(second.Refresh).ok()
	})
	t.Run("not of a grant that was revoked", func(t *testing.T) {
		o := newOrg(t).grace(30 * time.Second)
		first := o.signIn("openid offline_access")
		second := decode[tokens](o.refresh(first.Refresh).ok())
		o.revoke(basic(appID), "token", second.Refresh).done()
		o.refresh(first.Refresh).refused(400, oauth.InvalidGrant, noRefresh)
	})
}

// TestS60_AHundredAtOnce: whatever the grace period is, of any number of uses at once one successor comes.
func TestS60_AHundredAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org) {
		o.grace(30 * time.Second)
		first := o.signIn("openid offline_access")
		var (
			mu   sync.Mutex
			seen []string
			last tokens
		)
		won := race(100, func() int {
			a := o.refresh(first.Refresh)
			if a.Code == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				last = decode[tokens](a)
				if !slices.Contains(seen, last.Refresh) {
					seen = append(seen, last.Refresh)
				}
			}
			return a.Code
		})
		if won != 100 || len(seen) != 1 {
			t.Fatalf("%d of 100 were answered, with %d successors", won, len(seen))
		}
		next := decode[tokens](o.refresh(seen[0]).ok())
		o.wait(time.Minute)
		o.refresh(first.Refresh).refused(400, oauth.InvalidGrant, noRefresh)
		o.refresh(next.Refresh).refused(400, oauth.InvalidGrant, noRefresh)
		for _, token := range []string{first.Access, last.Access, next.Access} {
			o.userinfo(token).refused(401, oauth.InvalidToken, "")
		}
	})
	onBoth(t, func(t *testing.T, o *org) {
		first := o.signIn("openid offline_access")
		if won := race(100, func() int { return o.refresh(first.Refresh).Code }); won != 1 {
			t.Errorf("without a grace period %d of 100 won", won)
		}
		o.userinfo(first.Access).refused(401, oauth.InvalidToken, "")
	})
}
