package sqlstore_test

import (
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/postgres"
	"latchkey.dev/internal/store/sqlite"
	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/store/storetest"
)

// A place is where a database is, of one kind or the other.
type place struct {
	migrate func(sqlstore.Migration) ([]string, error)
	open    func(...sqlstore.Option) (*sqlstore.DB, error)
	driver  string
	dsn     string
	bytes   string // how its SQL writes them, around the digits
}

func onBoth(t *testing.T, f func(*testing.T, place)) {
	t.Run("sqlite", func(t *testing.T) {
		dir, keys := t.TempDir(), storetest.Key(t, 1)
		f(t, place{
			migrate: func(m sqlstore.Migration) ([]string, error) { return sqlite.Migrate(ctx, dir, m) },
			open:    func(o ...sqlstore.Option) (*sqlstore.DB, error) { return sqlite.Open(ctx, dir, keys, o...) },
			driver:  "sqlite", dsn: filepath.Join(dir, sqlite.File), bytes: `X'$1'`,
		})
	})
	t.Run("postgres", func(t *testing.T) {
		dsn, keys := storetest.Schema(t), storetest.Key(t, 1)
		f(t, place{
			migrate: func(m sqlstore.Migration) ([]string, error) { return postgres.Migrate(ctx, dsn, m) },
			open: func(o ...sqlstore.Option) (*sqlstore.DB, error) {
				return postgres.Open(ctx, dsn, keys, slog.New(slog.DiscardHandler), o...)
			},
			driver: "pgx", dsn: dsn, bytes: `'\x$1'`,
		})
	})
}

// run runs plain SQL.
func (p place) run(t *testing.T, statements ...string) {
	t.Helper()
	raw, err := sql.Open(p.driver, p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, one := range statements {
		if _, err := raw.ExecContext(ctx, one); err != nil {
			t.Fatalf("%v: %s", err, one)
		}
	}
}

func (p place) opened(t *testing.T, o ...sqlstore.Option) *sqlstore.DB {
	t.Helper()
	db, err := p.open(o...)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// asOf makes the database that an older version has left.
func (p place) asOf(t *testing.T, schema int64, file string) {
	t.Helper()
	if done, err := p.migrate(sqlstore.UpTo(schema)); err != nil || len(done) != int(schema) {
		t.Fatal(done, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	digits := regexp.MustCompile(`X'([0-9a-f]+)'`)
	var all []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "INSERT") {
			all = append(all, digits.ReplaceAllString(line, p.bytes))
		}
	}
	p.run(t, all...)
}

func of(name string) secret.Digest { return secret.DigestOf("test", name) }

// One step of what is finished after an upgrade. All run on one database, in their order.
var finished = []struct {
	name string
	do   func(tx store.Tx) error
	want error
}{
	{"the person is known, with password, phone and group", func(tx store.Tx) error {
		u, err := tx.UserByLogin(ctx, "ada")
		if err != nil {
			return err
		}
		all, err := tx.Enrollments(ctx, u.ID)
		if err != nil {
			return err
		}
		groups, err := tx.GroupsOf(ctx, u.ID)
		if u.FamilyName != "L'Ovelace" || !u.EmailVerified || len(all) != 2 || !strings.HasPrefix(string(all[0].Secret), "$argon2id$") ||
			all[1].Secret != "+15550100" || len(groups) != 1 || groups[0].Name != "Staff" {
			return errors.Join(err, errors.New("something of them is another"))
		}
		return err
	}, nil},
	{"the application knows its secret, and its server is there", func(tx store.Tx) error {
		c, err := tx.Client(ctx, "0oa1")
		if err != nil {
			return err
		}
		if len(c.SecretDigests) != 1 || c.SecretDigests[0] != of("client secret") || !slices.Equal(c.Policy.Require, []ident.Kind{"password", "phone"}) || !c.Registration.IsZero() {
			return errors.New("something of it is another")
		}
		_, err = tx.Server(ctx, "default")
		return err
	}, nil},
	{"the code that is out can be answered", func(tx store.Tx) error {
		c, err := tx.CountTry(ctx, "chl1", 5)
		if err == nil && (c.Number != "+15550100" || c.Nonce != [16]byte{7} || c.Tries != 1 || c.Flow != flow.Handle(of("handle"))) {
			err = errors.New("it is another")
		}
		return err
	}, nil},
	{"and once", func(tx store.Tx) error { return tx.SpendChallenge(ctx, "chl1", now) }, nil},
	{"not twice", func(tx store.Tx) error { return tx.SpendChallenge(ctx, "chl1", now) }, store.ErrSpent},
	{"the sign-in goes on to its end", func(tx store.Tx) error {
		s, err := tx.FlowByInteraction(ctx, of("interaction"))
		if err != nil {
			return err
		}
		if s.Stage != flow.Verify || s.User != "00u1" || len(s.Proofs) != 1 || s.Current.Challenge != "chl1" || s.Request.Challenge != "c" || s.Request.Ending != flow.Interaction {
			return errors.New("it stands somewhere else")
		}
		s.Stage, s.Proofs = flow.Done, append(s.Proofs, flow.Proof{Kind: ident.Phone, Method: "sms", At: now})
		return tx.PutFlow(ctx, s, now.Add(time.Hour))
	}, nil},
	{"its failures count on", func(tx store.Tx) error {
		n, _, err := tx.CountFailure(ctx, "00u1", ident.Phone, now, limit.DefaultCodes())
		if err == nil && n != 2 {
			err = errors.New("they begin anew")
		}
		return err
	}, nil},
	{"a code that was not redeemed is good", func(tx store.Tx) error {
		c, err := tx.SpendCode(ctx, of("code"), now)
		if err != nil {
			return err
		}
		if c.Grant.ID != "oar2" || c.PKCE != "c" || c.Grant.User != "00u1" {
			return errors.New("it gives another grant")
		}
		return errors.Join(tx.AddGrant(ctx, c.Grant), tx.AddRefresh(ctx, store.Refresh{Digest: of("new"), Grant: c.Grant.ID, Created: now, Expires: now.Add(time.Hour)}))
	}, nil},
	{"and once", func(tx store.Tx) error { _, err := tx.SpendCode(ctx, of("code"), now); return err }, store.ErrSpent},
	{"a used refresh token stays so", func(tx store.Tx) error { _, err := tx.SpendRefresh(ctx, of("refresh used"), now); return err }, store.ErrSpent},
	{"its successor is good", func(tx store.Tx) error { _, err := tx.SpendRefresh(ctx, of("refresh"), now); return err }, nil},
	{"and once", func(tx store.Tx) error { _, err := tx.SpendRefresh(ctx, of("refresh"), now); return err }, store.ErrSpent},
	{"an access token holds", func(tx store.Tx) error {
		_, phone, err := tx.TokenHolderAndPhone(ctx, "00u1", "oar1", "jti")
		if err == nil && phone != "+15550100" {
			err = errors.New("without the phone")
		}
		return err
	}, nil},
	{"unless it was revoked", func(tx store.Tx) error { _, err := tx.TokenHolder(ctx, "00u1", "oar1", "jti-revoked"); return err }, store.ErrSpent},
	{"a message still goes out", func(tx store.Tx) error {
		all, err := tx.LeaseMessages(ctx, "worker", now, now.Add(time.Minute), 9)
		if err == nil && (len(all) != 1 || all[0].To != "+15550100" || all[0].Body != "424242 is your code") {
			err = errors.New("it is another")
		}
		return err
	}, nil},
	{"the signing key signs", func(tx store.Tx) error {
		all, err := tx.SigningKeys(ctx)
		if err == nil && (len(all) != 1 || string(all[0].Private) != "a private key") {
			err = errors.New("it is another")
		}
		return err
	}, nil},
	{"certificates are there", func(tx store.Tx) error { _, err := tx.Certificate(ctx, "acme account"); return err }, nil},
	{"a session begins, as there were none", func(tx store.Tx) error {
		return tx.AddSession(ctx, store.Session{ID: "ses1", Value: of("cookie"), User: "00u1", Created: now, Seen: now, Expires: now.Add(time.Hour)})
	}, nil},
	{"S-79 all that was granted before and after ends", func(tx store.Tx) error {
		n, err := tx.RevokeGrantsOf(ctx, "", oauth.ClientID("0oa1"))
		if err == nil && n != 2 {
			err = errors.New("not all of it")
		}
		return err
	}, nil},
	{"and is over", func(tx store.Tx) error { _, err := tx.TokenHolder(ctx, "00u1", "oar1", "jti"); return err }, store.ErrSpent},
}

// What a version of before has begun is finished by this one.
func TestS84_WhatSchema7BeganIsFinished(t *testing.T) {
	onBoth(t, func(t *testing.T, p place) {
		p.asOf(t, 7, "testdata/schema7.sql")
		if db, err := p.open(sqlstore.LeaveSchema); !errors.Is(err, sqlstore.ErrOlderSchema) {
			if db != nil {
				db.Close()
			}
			t.Errorf("nobody said to migrate: %v", err)
		}
		if done, err := p.migrate(sqlstore.Upgrade); err != nil || len(done) < 3 || !strings.HasPrefix(done[0], "00008") {
			t.Fatal(done, err)
		}
		db := p.opened(t, sqlstore.LeaveSchema)
		defer db.Close()
		for _, step := range finished {
			if err := db.Update(ctx, step.do); !errors.Is(err, step.want) || step.want == nil && err != nil {
				t.Errorf("%s: got %v, want %v", step.name, err, step.want)
			}
		}
		if all := storetest.Events(t, db); len(all) != 1 || all[0].User != "00u1" {
			t.Errorf("the log is %+v", all)
		}
	})
}

// A binary does not work on a schema that it does not know, on either database.
func TestS84_ASchemaOfTheFutureIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, p place) {
		p.opened(t).Close()
		p.run(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, TRUE)`, `UPDATE settings SET value = '99' WHERE name = 'schema.needs'`)
		if db, err := p.open(); !errors.Is(err, sqlstore.ErrNewerSchema) {
			if db != nil {
				db.Close()
			}
			t.Errorf("opening: %v", err)
		}
		for name, m := range map[string]sqlstore.Migration{"upgrade": sqlstore.Upgrade, "pending": sqlstore.Pending, "rehearse": sqlstore.Rehearse} {
			if done, err := p.migrate(m); !errors.Is(err, sqlstore.ErrNewerSchema) {
				t.Errorf("%s: %v, %v", name, done, err)
			}
		}
	})
}
