package idx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey.dev/idx"
)

// TestRetryableNeverLies breaks a step in every way and compares what Retryable says with what the server saw.
func TestRetryableNeverLies(t *testing.T) {
	identify := func(origin string) string {
		return strings.ReplaceAll(doc([]string{formOf("identify", "identify", identifierField, passcodeField)}), stageOrigin, origin)
	}
	for name, c := range map[string]struct {
		fault     func(w http.ResponseWriter, srv *httptest.Server)
		before    func(srv *httptest.Server) // instead, before the step is sent
		retryable bool
		is        error
	}{
		"nobody listens":      {before: func(srv *httptest.Server) { srv.Close() }, retryable: true},
		"cut after the send":  {fault: func(w http.ResponseWriter, _ *httptest.Server) { cut(w, "") }},
		"cut within the head": {fault: func(w http.ResponseWriter, _ *httptest.Server) { cut(w, "HTTP/1.1 200 OK\r\nContent-") }},
		"cut within the body": {fault: func(w http.ResponseWriter, _ *httptest.Server) {
			cut(w, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{")
		}},
		"no HTTP at all": {fault: func(w http.ResponseWriter, _ *httptest.Server) { cut(w, "SSH-2.0-banner\r\n") }},
		"429, as a document": {fault: func(w http.ResponseWriter, _ *httptest.Server) {
			answerWith(w, 429, doc(nil, errorMessages("tooManyRequests")))
		}, retryable: true, is: idx.ErrRateLimited},
		"429, as an API error": {fault: func(w http.ResponseWriter, _ *httptest.Server) { answerWith(w, 429, `{"errorCode":"E0000047"}`) }, retryable: true, is: idx.ErrRateLimited},
		"503": {fault: func(w http.ResponseWriter, _ *httptest.Server) {
			answerWith(w, 503, doc(nil, errorMessages("E0000010")))
		}},
		"HTML 502":              {fault: func(w http.ResponseWriter, _ *httptest.Server) { answerWith(w, 502, "<html>") }},
		"HTML 200":              {fault: func(w http.ResponseWriter, _ *httptest.Server) { answerWith(w, 200, "<html>") }},
		"no body":               {fault: func(w http.ResponseWriter, _ *httptest.Server) { w.WriteHeader(200) }},
		"a megabyte and a byte": {fault: func(w http.ResponseWriter, _ *httptest.Server) { answerWith(w, 200, strings.Repeat(" ", 1<<20)+"{") }},
		"a body without an end": {fault: func(w http.ResponseWriter, _ *httptest.Server) { endless(w) }},
		"a redirect with the form": {fault: func(w http.ResponseWriter, srv *httptest.Server) {
			w.Header().Set("Location", srv.URL+"/elsewhere")
			w.WriteHeader(307)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var steps, elsewhere atomic.Int32
			var srv *httptest.Server
			srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				switch {
				case strings.HasSuffix(r.URL.Path, "/interact"):
					answerWith(w, 200, `{"interaction_handle":"ih"}`)
				case strings.HasSuffix(r.URL.Path, "/introspect"):
					answerWith(w, 200, identify(srv.URL))
				case strings.HasSuffix(r.URL.Path, "/identify"):
					steps.Add(1)
					c.fault(w, srv)
				default:
					elsewhere.Add(1)
				}
			}))
			defer srv.Close()
			// A kept connection that dies as it is used looks like one that dies afterwards. Here each case is to be sure.
			fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			client, err := idx.New(idx.Config{Issuer: srv.URL + "/oauth2/default", ClientID: clientID, RedirectURI: redirectURI}, idx.WithHTTPClient(fresh))
			if err != nil {
				t.Fatal(err)
			}
			tx, err := client.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.before != nil {
				c.before(srv)
			}
			_, err = client.Continue(t.Context(), tx, mary)
			if err == nil {
				t.Fatal("it was taken for an answer")
			}
			if idx.Retryable(err) != c.retryable || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("Retryable is %t for %v", idx.Retryable(err), err)
			}
			if want := int32(1); c.before == nil && steps.Load() != want || elsewhere.Load() != 0 {
				t.Errorf("the step arrived %d times, and %d requests went elsewhere", steps.Load(), elsewhere.Load())
			}
			if c.retryable && c.is == nil && steps.Load() != 0 {
				t.Error("the step arrived, and yet it is called retryable")
			}
		})
	}
}

func answerWith(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// cut says a few bytes and hangs up.
func cut(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func endless(w http.ResponseWriter) {
	block := strings.Repeat("x", 64<<10)
	for range 1 << 10 {
		if _, err := io.WriteString(w, block); err != nil {
			return
		}
	}
}

// Two steps in one call: when the first went through, the call as a whole is not to be repeated.
func TestRetryableAfterTheFirstStep(t *testing.T) {
	password := with(formOf("challenge-authenticator", "challenge/answer", passcodeField), `"relatesTo":["$.currentAuthenticator"]`)
	s := play(say(200, doc([]string{formOf("identify", "identify", identifierField)})), say(200, doc([]string{password}, passwordReset)),
		say(429, doc(nil, errorMessages("tooManyRequests"))))
	_, err := s.client(t).Authenticate(t.Context(), mary)
	if !errors.Is(err, idx.ErrRateLimited) || idx.Retryable(err) {
		t.Errorf("Retryable is %t for %v", idx.Retryable(err), err)
	}
	rejected(t, err, "tooManyRequests", "challenge-authenticator")
}

// S-60: a code or refresh token that was spent is never said to be unspent. An app that repeats a refresh loses the family.
func TestS60RetryableAfterSpending(t *testing.T) {
	for name, call := range map[string]func(context.Context, *idx.Client, *idx.Transaction) error{
		"Exchange": func(ctx context.Context, c *idx.Client, tx *idx.Transaction) error {
			_, err := c.Exchange(ctx, tx)
			return err
		},
		"Refresh": func(ctx context.Context, c *idx.Client, _ *idx.Transaction) error {
			_, err := c.Refresh(ctx, "rt")
			return err
		},
	} {
		for _, scopes := range [][]string{{"openid"}, {"profile"}} { // with the second, an ID token is not expected, and comes
			for _, fault := range []string{"keys=429", "new keys=429", "cancel", "token=429"} {
				t.Run(name+"/"+scopes[0]+"/"+fault, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					spent := false
					i := &issuer{access: "at", keys: func() any { return jwks() }, idToken: idTokens(map[string]any{"alg": "RS256", "kid": "new"}, testKey())}
					transport := tripper(func(r *http.Request) (*http.Response, error) {
						token := strings.HasSuffix(r.URL.Path, "/token")
						switch {
						case token && fault == "token=429",
							strings.HasSuffix(r.URL.Path, "/keys") && (fault == "keys=429" || fault == "new keys=429" && spent):
							return answerTo(r, say(429, `{"errorCode":"E0000047"}`)), nil
						case token:
							defer func() {
								if spent = true; fault == "cancel" {
									cancel()
								}
							}()
						}
						return i.RoundTrip(r)
					})
					c, err := idx.New(idx.Config{Issuer: stageIssuer, ClientID: clientID, RedirectURI: redirectURI, Scopes: scopes},
						idx.WithHTTPClient(&http.Client{Transport: transport}), idx.WithRetry(1, 0))
					if err != nil {
						t.Fatal(err)
					}
					tx, err := c.Start(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if err = call(ctx, c, tx); err == nil {
						t.Fatal("it was taken for an answer")
					}
					if fault != "cancel" && !errors.Is(err, idx.ErrRateLimited) || fault == "cancel" && !errors.Is(err, context.Canceled) {
						t.Errorf("the error is %v", err)
					}
					if idx.Retryable(err) == spent {
						t.Errorf("Retryable is %t for %v, and spent is %t", idx.Retryable(err), err, spent)
					}
					if fault == "keys=429" && scopes[0] == "openid" && spent {
						t.Error("it was spent though its answer could not be verified")
					}
				})
			}
		}
	}
}

// TestRetry: reads and polls are tried again, steps never.
func TestRetry(t *testing.T) {
	identify := doc([]string{formOf("identify", "identify", identifierField, passcodeField)})
	for name, c := range map[string]struct {
		lines []line
		sent  int
		ok    bool
		took  time.Duration // at least
	}{
		"a read after 503":            {[]line{say(503, ""), say(200, identify)}, 2, true, 0},
		"a read after a cut":          {[]line{{err: errors.New("cut")}, {err: io.ErrUnexpectedEOF}, say(200, identify)}, 3, true, 0},
		"Retry-After in seconds":      {[]line{{status: 429, header: http.Header{"Retry-After": {"4"}}}, say(200, identify)}, 2, true, 4 * time.Second},
		"Retry-After as a date":       {[]line{{do: laterByDate}, say(200, identify)}, 2, true, 3 * time.Second},
		"asked to wait too long":      {[]line{{status: 429, header: http.Header{"Retry-After": {"60"}}}, say(200, identify)}, 1, false, 0},
		"given up":                    {[]line{say(502, "<html>")}, 3, false, 0},
		"no hope in a 400":            {[]line{say(400, `{"error":"invalid_request"}`)}, 1, false, 0},
		"a body too large comes once": {[]line{say(200, strings.Repeat(" ", 1<<20+1)), say(200, identify)}, 1, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(c.lines...)
				client := s.client(t, idx.WithRetry(3, 5*time.Second))
				began := time.Now()
				tx, err := client.Start(t.Context())
				if (err == nil) != c.ok || len(s.requests()) != c.sent || time.Since(began) < c.took || time.Since(began) > c.took+5*time.Second {
					t.Errorf("%v, %v after %d requests and %s", tx, err, len(s.requests()), time.Since(began))
				}
			})
		})
	}
	t.Run("a step goes once", func(t *testing.T) {
		for _, fault := range []line{say(503, ""), {err: errors.New("cut")}, say(429, `{"errorCode":"E0000047"}`)} {
			s := play(say(200, identify), fault)
			c, tx := s.start(t, idx.WithRetry(5, time.Second))
			if _, err := c.Continue(t.Context(), tx, mary); err == nil || len(s.requests()) != 2 {
				t.Errorf("%v after %d requests", err, len(s.requests()))
			}
		}
	})
	t.Run("a poll is tried again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := play(say(200, pollDoc(2000)), say(503, ""), say(200, pollDoc(2000)))
			c, tx := s.start(t, idx.WithRetry(3, time.Second))
			if _, err := c.Poll(t.Context(), tx); err != nil || len(s.requests()) != 3 {
				t.Errorf("%v after %d requests", err, len(s.requests()))
			}
		})
	})
}

func laterByDate(r *http.Request) (*http.Response, error) {
	return answerTo(r, line{status: 429, header: http.Header{"Retry-After": {time.Now().Add(4 * time.Second).UTC().Format(http.TimeFormat)}}}), nil
}

// TestTimeout: an engine that says nothing is given up after half a minute, once, and not three times in a row.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(line{do: func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}})
		began := time.Now()
		_, err := s.client(t, idx.WithRetry(3, time.Second)).Start(t.Context())
		if took := time.Since(began); took != 30*time.Second || !errors.Is(err, context.DeadlineExceeded) || idx.Retryable(err) {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// TestSlowBody: the time counts to the last byte, not to the first.
func TestSlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(line{do: func(r *http.Request) (*http.Response, error) {
			resp := answerTo(r, say(200, ""))
			resp.ContentLength = -1
			resp.Body = &drip{ctx: r.Context()}
			return resp, nil
		}})
		began := time.Now()
		_, err := s.client(t).Start(t.Context())
		if took := time.Since(began); err == nil || took < 29*time.Second || took > 31*time.Second {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// A drip gives one byte per second, as long as anybody listens.
type drip struct{ ctx context.Context }

func (d *drip) Read(p []byte) (int, error) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-t.C:
		p[0] = ' '
		return 1, nil
	}
}
func (d *drip) Close() error { return nil }

// TestWatch: every change once, in order, and an end.
func TestWatch(t *testing.T) {
	number := func(n string) string {
		return `"currentAuthenticator":{"type":"object","value":{"type":"app","key":"okta_verify","id":"aut1","contextualData":{"correctAnswer":"` + n + `"}}}`
	}
	synctest.Test(t, func(t *testing.T) {
		s := play(say(200, pollDoc(2000)), say(200, pollDoc(2000)), say(200, pollDoc(2000, number("77"))), say(200, pollDoc(2000, number("77"))),
			say(200, pollDoc(2000, number("12"))), say(200, doc(nil, successMember)))
		c, tx := s.start(t)
		var seen []string
		for tx, err := range c.Watch(t.Context(), tx) {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, fmt.Sprint(tx.Status()))
		}
		if strings.Join(seen, " ") != "PENDING PENDING SUCCESS" || len(s.requests()) != 6 {
			t.Errorf("%v after %d requests", seen, len(s.requests()))
		}
	})
	synctest.Test(t, func(t *testing.T) { // whoever stops listening stops the polling
		s := play(say(200, pollDoc(2000)), say(200, pollDoc(2000, number("1"))), say(200, pollDoc(2000, number("2"))))
		c, tx := s.start(t)
		for range c.Watch(t.Context(), tx) {
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s2 := play(say(200, pollDoc(2000)))
		c2, tx2 := s2.start(t)
		n := 0
		for _, err := range c2.Watch(ctx, tx2) {
			n++
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if n != 1 || len(s.requests()) != 2 || len(s2.requests()) != 2 {
			t.Errorf("%d yields, %d and %d requests", n, len(s.requests()), len(s2.requests()))
		}
	})
	c, tx := play(say(200, doc([]string{formOf("identify", "identify", identifierField)}))).start(t)
	if _, err := c.Wait(t.Context(), tx); !errors.Is(err, idx.ErrNotOffered) {
		t.Error(err)
	}
	if _, err := c.Poll(t.Context(), tx); !errors.Is(err, idx.ErrNotOffered) {
		t.Error(err)
	}
}

// TestManyUsers: 64 people at once over one client, beside a second client of a second engine. Nobody sees another's
// handle, cookie or token.
func TestManyUsers(t *testing.T) {
	a, b := newEngine(t), newEngine(t)
	ca, cb := a.client(t), b.client(t)
	seal := sealer(t, 7)
	var wg sync.WaitGroup
	for i := range 64 {
		e, c := a, ca
		if i%8 == 7 {
			e, c = b, cb
		}
		wg.Go(func() {
			name := fmt.Sprintf("user%d@example.com", i)
			if err := signIn(t.Context(), c.For(idx.EndUser{UserAgent: name, DeviceToken: fmt.Sprintf("device-%d", i)}), seal, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			_ = e
		})
	}
	wg.Wait()
	for _, e := range []*engine{a, b} {
		e.mu.Lock()
		for i, r := range e.seen {
			name := r.UserAgent()
			var n int
			if _, err := fmt.Sscanf(name, "user%d@", &n); err != nil || r.Header.Get("X-Device-Token") != fmt.Sprintf("device-%d", n) {
				t.Fatalf("%s came from %q with device %q", r.URL.Path, name, r.Header.Get("X-Device-Token"))
			}
			if strings.Contains(e.bodies[i], "@example.com") && !strings.Contains(e.bodies[i], strings.ReplaceAll(name, "@", "@")) {
				t.Errorf("%s sent %s", name, e.bodies[i])
			}
		}
		if n := e.counts["/oauth2/default/v1/keys"]; n != 1 {
			t.Errorf("keys were fetched %d times", n)
		}
		e.mu.Unlock()
	}
}

// signIn is a whole sign-in with a phone, whose transaction goes through a cookie after each step.
func signIn(ctx context.Context, c *idx.Client, seal *idx.Sealer, name string) error {
	tx, err := c.Authenticate(ctx, idx.Answers{Username: name, Password: goodPassword})
	for _, a := range []idx.Answers{{Authenticator: "phone"}, {Method: "sms", PhoneNumber: "+15551234567"}, {VerificationCode: goodCode}} {
		if err != nil {
			return err
		}
		sealed, err2 := seal.Seal(tx)
		if err2 != nil {
			return err2
		}
		if tx, err = seal.Open(sealed); err != nil {
			return err
		}
		tx, err = c.Continue(ctx, tx, a)
	}
	if err != nil {
		return err
	}
	tokens, err := c.Exchange(ctx, tx)
	if err != nil {
		return err
	}
	who, err := c.UserInfo(ctx, tokens)
	if err != nil {
		return err
	}
	if who.Email != name || tokens.Subject != "00u"+name {
		return fmt.Errorf("was given the profile of %s and the tokens of %s", who.Email, tokens.Subject)
	}
	return nil
}

// UserInfo about somebody else is not handed out.
func TestUserInfoOfAnother(t *testing.T) {
	e := newEngine(t)
	c := e.client(t)
	if _, err := c.UserInfo(t.Context(), &idx.Tokens{AccessToken: "at-mary@example.com", Subject: "00ubob@example.com"}); !errors.Is(err, idx.ErrIDToken) {
		t.Error(err)
	}
	who, err := c.UserInfo(t.Context(), &idx.Tokens{AccessToken: "at-mary@example.com"})
	if err != nil || who.Email != "mary@example.com" {
		t.Errorf("%v, %v", who, err)
	}
	var se *idx.ServerError
	if _, err := c.UserInfo(t.Context(), &idx.Tokens{AccessToken: "none"}); !errors.As(err, &se) || se.Code != "invalid_token" || se.Summary != "The access token is invalid." {
		t.Errorf("%v", err)
	}
}

// Cancel is safe to call twice, after expiry, and on what is over.
func TestCancel(t *testing.T) {
	e := newEngine(t)
	c := e.client(t)
	tx, err := c.Authenticate(t.Context(), mary)
	must(t, tx, err, idx.StatusPending, "select-authenticator-enroll")
	for range 2 { // the second time the engine knows nothing of it any more
		gone, err := c.Cancel(t.Context(), tx)
		must(t, gone, err, idx.StatusCanceled, "")
		gone, err = c.Cancel(t.Context(), gone)
		must(t, gone, err, idx.StatusCanceled, "")
		if _, err := c.Continue(t.Context(), gone, mary); !errors.Is(err, idx.ErrNoTransaction) {
			t.Error(err)
		}
	}
	s := sealer(t, 1)
	sealed, _ := s.Seal(tx)
	parked, _ := s.Open(sealed)
	gone, err := c.Cancel(t.Context(), parked)
	must(t, gone, err, idx.StatusCanceled, "")
	if _, err := c.Continue(t.Context(), parked, mary); !errors.Is(err, idx.ErrExpired) {
		t.Error(err)
	}
}
