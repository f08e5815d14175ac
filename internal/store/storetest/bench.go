package storetest

import (
	"fmt"
	"testing"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/store"
)

// Bench measures what a sign-in asks of a database, step by step and as a whole.
func Bench(b *testing.B, home func(testing.TB) Home) {
	db, err := home(b).Open(Key(b, 1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	seed(b, db)
	for _, step := range steps {
		b.Run(step.name, func(b *testing.B) {
			var n int
			for b.Loop() {
				n++
				if err := step.run(db, fmt.Sprint(step.name, b.N, n, time.Now().UnixNano())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("sign-in/in parallel", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if err := signIn(db, ident.NewID("")); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func seed(b *testing.B, db store.DB) {
	write(b, db, func(tx store.Tx) error {
		for _, add := range []error{
			tx.AddUser(ctx, ident.User{ID: "00u1", Login: "ada", Status: ident.Active, GivenName: "Ada", FamilyName: "Lovelace", Email: "ada@example.test", Created: now, Updated: now}),
			tx.AddEnrollment(ctx, anEnrollment("00u1", "1", "password")),
			tx.AddEnrollment(ctx, anEnrollment("00u1", "2", "phone")),
			tx.AddGrant(ctx, aGrant("oar1")),
			tx.AddChallenge(ctx, store.Challenge{ID: "chl1", Number: "+15550100", Expires: now}),
			tx.AddFlow(ctx, benchFlow("kept"), now),
			tx.PutClient(ctx, oauth.Client{ID: "0oa1", Redirects: []string{"https://app.example.test/callback"}}),
		} {
			if add != nil {
				return add
			}
		}
		return nil
	})
}

func benchFlow(name string) flow.State {
	s := aFlow(name)
	s.Request = flow.Request{Server: "default", Client: "0oa1", Redirect: "https://app.example.test/callback", Scopes: []string{"openid", "profile"},
		State: "state-of-the-client-43-characters-long-xxxxx", Nonce: "nonce", Challenge: "the-challenge-of-43-characters-xxxxxxxxxxxx"}
	s.Login = "ada@example.test"
	return s
}

var steps = []struct {
	name string
	run  func(store.DB, string) error
}{
	{"view/token holder", func(db store.DB, _ string) error {
		return db.View(ctx, func(tx store.Tx) error { _, err := tx.TokenHolder(ctx, "00u1", "oar1", "jti"); return err })
	}},
	{"view/flow, user, enrollments, client", func(db store.DB, _ string) error { return look(db, digest("handle kept")) }},
	{"update/nothing", func(db store.DB, _ string) error {
		return db.Update(ctx, func(store.Tx) error { return nil })
	}},
	{"update/add flow", func(db store.DB, id string) error { return begin(db, id) }},
	{"update/put flow", func(db store.DB, _ string) error {
		return db.Update(ctx, func(tx store.Tx) error {
			s, err := tx.Flow(ctx, digest("handle kept"))
			if err != nil {
				return err
			}
			return tx.PutFlow(ctx, s, now.Add(time.Hour))
		})
	}},
	{"update/count try", func(db store.DB, _ string) error {
		return db.Update(ctx, func(tx store.Tx) error { _, err := tx.CountTry(ctx, "chl1", 1<<30); return err })
	}},
	{"update/record", func(db store.DB, _ string) error {
		return db.Update(ctx, func(tx store.Tx) error { return tx.Record(ctx, anEvent(audit.PasswordOK)) })
	}},
	{"sign-in/alone", signIn},
}

func anEvent(what audit.Type) audit.Event {
	return audit.Event{Type: what, At: now, OK: true, User: "00u1", Client: "0oa1", Flow: "deadbeef",
		Source: audit.Source{Address: "192.0.2.1", Agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", RequestID: "req1"}}
}

func look(db store.DB, h flow.Handle) error {
	return db.View(ctx, func(tx store.Tx) error {
		if _, err := tx.Flow(ctx, h); err != nil {
			return err
		}
		if _, err := tx.User(ctx, "00u1"); err != nil {
			return err
		}
		if _, err := tx.Enrollments(ctx, "00u1"); err != nil {
			return err
		}
		_, err := tx.Client(ctx, "0oa1")
		return err
	})
}

func begin(db store.DB, id string) error {
	return db.Update(ctx, func(tx store.Tx) error {
		if err := tx.AddFlow(ctx, benchFlow(id), now.Add(time.Hour)); err != nil {
			return err
		}
		return tx.Record(ctx, anEvent(audit.FlowBegun))
	})
}

// signIn is a sign-in with password and phone as the store sees it, from interact to the profile.
func signIn(db store.DB, id string) error {
	at, number := now, digest("number "+id)
	c := store.Challenge{ID: flow.ChallengeID("chl" + id), Flow: digest("handle " + id), User: "00u1", Kind: ident.Phone, Method: ident.MethodSMS,
		Number: "+15550100", Nonce: [16]byte{1}, Created: at, Expires: at.Add(5 * time.Minute)}
	code := store.Code{Digest: digest("code " + id), Redirect: "https://app.example.test/callback", Expires: at.Add(time.Minute), Grant: aGrant(oauth.GrantID("oar" + id))}
	step := func(f func(store.Tx, *flow.State) error) func() error {
		return func() error {
			if err := look(db, c.Flow); err != nil {
				return err
			}
			return db.Update(ctx, func(tx store.Tx) error {
				s, err := tx.Flow(ctx, c.Flow)
				if err != nil {
					return err
				}
				if err := f(tx, &s); err != nil {
					return err
				}
				if err := tx.PutFlow(ctx, s, at.Add(time.Hour)); err != nil {
					return err
				}
				return tx.Record(ctx, anEvent(audit.PasswordOK))
			})
		}
	}
	for _, f := range []func() error{
		func() error { return begin(db, id) },
		func() error { return look(db, c.Flow) }, // introspect
		step(func(tx store.Tx, s *flow.State) error { // the password was right
			s.User, s.Proofs = "00u1", []flow.Proof{{Kind: ident.Password, Method: ident.MethodPassword, At: at}}
			return nil
		}),
		step(func(tx store.Tx, s *flow.State) error { // a code is sent
			s.Current = flow.Current{Kind: ident.Phone, Method: ident.MethodSMS, Challenge: c.ID, Number: c.Number, Hint: "+1 XXX-XXX-0100"}
			if err := tx.HoldSends(ctx, store.Send{Number: number, User: "00u1"}); err != nil {
				return err
			}
			if _, err := tx.LastSend(ctx, number); err != nil {
				return err
			}
			for _, q := range []store.SendQuery{{Number: number, Open: true}, {Number: number, Open: true}, {Number: number}, {User: userOf(id), Unproved: true}, {User: userOf(id)}} {
				q.Since = at.Add(-24 * time.Hour)
				if _, err := tx.CountSends(ctx, q); err != nil {
					return err
				}
			}
			if err := tx.AddSend(ctx, store.Send{ID: "snd" + id, Number: number, User: userOf(id), At: at}); err != nil {
				return err
			}
			if err := tx.AddChallenge(ctx, c); err != nil {
				return err
			}
			return tx.AddMessage(ctx, store.Message{ID: "msg" + id, Channel: "sms", To: "+15550100", Body: "123456 is your code", Send: "snd" + id,
				Created: at, NotAfter: c.Expires, Status: store.Waiting, Due: at.Add(time.Minute), Lease: "w"})
		}),
		func() error { // the worker
			return db.Update(ctx, func(tx store.Tx) error {
				if err := tx.Settle(ctx, "msg"+id, "w", store.Sent, at); err != nil {
					return err
				}
				return tx.Record(ctx, anEvent(audit.MessageSent))
			})
		},
		func() error { // an answer is counted
			return db.Update(ctx, func(tx store.Tx) error {
				_, err := tx.CountTry(ctx, c.ID, 5)
				return err
			})
		},
		step(func(tx store.Tx, s *flow.State) error { // it is right
			s.Stage, s.Current, s.Outcome.At = flow.Done, flow.Current{}, at
			if err := tx.SpendChallenge(ctx, c.ID, at); err != nil {
				return err
			}
			if err := tx.ClearFailures(ctx, "00u1", ident.Phone); err != nil {
				return err
			}
			if err := tx.ClearSends(ctx, number); err != nil {
				return err
			}
			return tx.AddCode(ctx, code)
		}),
		func() error { // the code is redeemed
			return db.Update(ctx, func(tx store.Tx) error {
				got, err := tx.SpendCode(ctx, code.Digest, at)
				if err != nil {
					return err
				}
				if err := tx.AddGrant(ctx, got.Grant); err != nil {
					return err
				}
				return tx.Record(ctx, anEvent(audit.TokensIssued))
			})
		},
		func() error {
			return db.View(ctx, func(tx store.Tx) error {
				_, err := tx.TokenHolder(ctx, "00u1", code.Grant.ID, "jti")
				return err
			})
		},
	} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func userOf(id string) ident.UserID { return ident.UserID("00u" + id) }
