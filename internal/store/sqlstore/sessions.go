package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

func (t *tx) AddSession(ctx context.Context, s store.Session) error {
	return added(t.exec(ctx, `INSERT INTO sessions (id, value, user_id, proofs, source, agent, created, seen, expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		args{s.ID, s.Value[:], string(s.User), doc(proofRowsOf(s.Proofs)), s.Source, s.Agent, micros(s.Created), micros(s.Seen), mark(s.Expires)}))
}

const sessionColumns = `id, value, user_id, proofs, source, agent, created, seen, expires`

func (t *tx) Session(ctx context.Context, value secret.Digest) (store.Session, error) {
	return t.session(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE value = $1`, args{value[:]})
}

func (t *tx) SessionByID(ctx context.Context, id string) (store.Session, error) {
	return t.session(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE id = $1`, args{id})
}

func (t *tx) HoldSession(ctx context.Context, id string) (store.Session, error) {
	return t.session(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE id = $1`+t.db.dialect.holding(alone), args{id})
}

func (t *tx) session(ctx context.Context, query string, a args) (store.Session, error) {
	var row sessionRow
	if err := t.one(ctx, query, a, row.into()...); err != nil {
		return store.Session{}, err
	}
	return row.session(), nil
}

func (t *tx) SessionsOf(ctx context.Context, u ident.UserID) ([]store.Session, error) {
	var all []store.Session
	err := t.each(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE user_id = $1`, args{string(u)}, func(rows *sql.Rows) error {
		var row sessionRow
		err := rows.Scan(row.into()...)
		all = append(all, row.session())
		return err
	})
	slices.SortFunc(all, func(a, b store.Session) int { return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.ID, b.ID)) })
	return all, err
}

// sessionRow is a session on its way out of a row.
type sessionRow struct {
	s      store.Session
	value  []byte
	proofs []proofRow
}

func (r *sessionRow) into() []any {
	s := &r.s
	return []any{&s.ID, &r.value, (*string)(&s.User), docInto{&r.proofs}, &s.Source, &s.Agent, timeInto{&s.Created}, timeInto{&s.Seen}, timeInto{&s.Expires}}
}

func (r *sessionRow) session() store.Session {
	copy(r.s.Value[:], r.value)
	r.s.Proofs = proofsOf(r.proofs)
	return r.s
}

func (t *tx) SeeSession(ctx context.Context, id string, seen, expires time.Time) error {
	return present(t.exec(ctx, `UPDATE sessions SET seen = $2, expires = $3 WHERE id = $1`, args{id, micros(seen), mark(expires)}))
}

// RaiseSession asks for the value that was read, so that of two raises at once the second reads again.
func (t *tx) RaiseSession(ctx context.Context, was secret.Digest, s store.Session) error {
	return stale(t.exec(ctx, `UPDATE sessions SET value = $3, proofs = $4, seen = $5, expires = $6 WHERE id = $1 AND value = $2`,
		args{s.ID, was[:], s.Value[:], doc(proofRowsOf(s.Proofs)), micros(s.Seen), mark(s.Expires)}))
}

// JoinSession holds the session first: whoever ends it must see the membership, or be seen.
func (t *tx) JoinSession(ctx context.Context, id string, m store.Membership) error {
	_, err := t.HoldSession(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return store.ErrStale
	}
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `INSERT INTO session_clients (session_id, client_id, server, joined)
		VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, args{id, string(m.Client), m.Server, micros(m.Joined)})
	return err
}

func (t *tx) InheritSession(ctx context.Context, from, into string, lends bool) error {
	held, err := t.holdSessions(ctx, `id IN ($1, $2)`, args{from, into})
	if err != nil {
		return err
	}
	if !slices.Contains(held, from) || !slices.Contains(held, into) {
		return store.ErrStale
	}
	if from == into {
		return nil
	}
	for _, step := range []struct {
		query string
		args  args
	}{
		{`INSERT INTO inherited_clients (session_id, sid, client_id, server, joined)
			SELECT $2, sid, client_id, server, joined FROM (` + entered + `) AS entered`, args{from, into}},
		{`UPDATE heirs SET session_id = $2, lends = lends AND $3 WHERE session_id = $1`, args{from, into, lends}},
		{`INSERT INTO heirs (sid, session_id, lends) VALUES ($1, $2, $3)`, args{from, into, lends}},
		{`DELETE FROM sessions WHERE id = $1`, args{from}},
	} {
		if _, err := t.exec(ctx, step.query, step.args); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) Heir(ctx context.Context, sid string) (s store.Session, lends bool, err error) {
	var row sessionRow
	err = t.one(ctx, `SELECT `+sessionColumns+`, lends FROM heirs JOIN sessions ON id = session_id WHERE sid = $1`, args{sid}, append(row.into(), &lends)...)
	if err != nil {
		return store.Session{}, false, err
	}
	return row.session(), lends, nil
}

// entered is all that was entered in a session ($1), or in one that went up in it.
const entered = `SELECT session_id AS sid, client_id, server, joined FROM session_clients WHERE session_id = $1
	UNION ALL SELECT sid, client_id, server, joined FROM inherited_clients WHERE session_id = $1`

func (t *tx) Memberships(ctx context.Context, id string) ([]store.Membership, error) {
	var all []store.Membership
	err := t.each(ctx, entered, args{id}, func(rows *sql.Rows) error {
		var m store.Membership
		err := rows.Scan(&m.SID, (*string)(&m.Client), &m.Server, timeInto{&m.Joined})
		all = append(all, m)
		return err
	})
	slices.SortFunc(all, func(a, b store.Membership) int {
		return cmp.Or(a.Joined.Compare(b.Joined), cmp.Compare(a.Client, b.Client), cmp.Compare(a.Server, b.Server), cmp.Compare(a.SID, b.SID))
	})
	return all, err
}

func (t *tx) EndSession(ctx context.Context, id string, at time.Time) error {
	if _, err := t.HoldSession(ctx, id); err != nil {
		return err
	}
	return t.endSession(ctx, id, at)
}

// holdSessions holds several in one order, so that two that want the same ones do not wait in a circle.
func (t *tx) holdSessions(ctx context.Context, which string, a args) (ids []string, err error) {
	err = t.each(ctx, `SELECT id FROM sessions WHERE `+which+` ORDER BY id`+t.db.dialect.holding(alone), a, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// EndSessionsOf leaves one alone that begins meanwhile: it begins after this. It holds the one that stays with the
// others: its caller is about to stand on it, and would wait in a circle for whoever has it and is about to end these.
func (t *tx) EndSessionsOf(ctx context.Context, u ident.UserID, except string, at time.Time) (int, error) {
	ids, err := t.holdSessions(ctx, `user_id = $1`, args{string(u)})
	if err != nil {
		return 0, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == except })
	for _, id := range ids {
		if err := t.endSession(ctx, id, at); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// endSession is the only way that a session ends before its time, once it is held: what joined it is there by then, and
// nothing joins it any more. A session ends once, so its id as they know it and its applications' make ids for what is to be told.
func (t *tx) endSession(ctx context.Context, id string, at time.Time) error {
	_, err := t.exec(ctx, `INSERT INTO logouts (id, session_id, client_id, server, user_id, attempts, due, ends)
		SELECT sid || ' ' || client_id || ' ' || server, sid, client_id, server, user_id, 0, $2, $3
		FROM (`+entered+`) AS entered, sessions WHERE id = $1 ON CONFLICT DO NOTHING`,
		args{id, micros(at), mark(at.Add(store.LogoutLife))})
	if err != nil {
		return err
	}
	return present(t.exec(ctx, `DELETE FROM sessions WHERE id = $1`, args{id}))
}

// LogoutsDue reads all that is due, which may be much, but outside of any commit.
func (t *tx) LogoutsDue(ctx context.Context, now time.Time, n int) (ids []string, err error) {
	err = t.each(ctx, `SELECT id FROM (SELECT id, due, row_number() OVER (PARTITION BY client_id ORDER BY due, id) AS place FROM logouts WHERE due <= $1) AS waiting
		ORDER BY place, due, id LIMIT $2`, args{micros(now), int64(n)}, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// LeaseLogouts moves what it takes into the future by a condition on what it saw, so that two nodes that
// look at once do not both get it. It takes them by their ids, or those two could wait for each other.
func (t *tx) LeaseLogouts(ctx context.Context, ids []string, now, until time.Time) (all []store.Logout, err error) {
	for _, id := range slices.Sorted(slices.Values(ids)) {
		err := t.each(ctx, `UPDATE logouts SET due = $3 WHERE id = $1 AND due <= $2
			RETURNING id, session_id, client_id, server, user_id, attempts, due, ends`, args{id, micros(now), micros(until)}, func(rows *sql.Rows) error {
			var l store.Logout
			err := rows.Scan(&l.ID, &l.Session, (*string)(&l.Client), &l.Server, (*string)(&l.User), &l.Attempts, timeInto{&l.Due}, timeInto{&l.Ends})
			all = append(all, l)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (t *tx) ReturnLogout(ctx context.Context, leased store.Logout, due time.Time) error {
	_, err := t.exec(ctx, `UPDATE logouts SET due = $3 WHERE id = $1 AND due = $2`, args{leased.ID, micros(leased.Due), micros(due)})
	return err
}

func (t *tx) HoldLogouts(ctx context.Context, c oauth.ClientID, now, until time.Time) error {
	_, err := t.exec(ctx, `UPDATE logouts SET due = $3 WHERE client_id = $1 AND due <= $2`, args{string(c), micros(now), micros(until)})
	return err
}

func (t *tx) PostponeLogout(ctx context.Context, id string, due time.Time) error {
	return present(t.exec(ctx, `UPDATE logouts SET attempts = attempts + 1, due = $2 WHERE id = $1`, args{id, micros(due)}))
}

func (t *tx) DropLogout(ctx context.Context, id string) error {
	return present(t.exec(ctx, `DELETE FROM logouts WHERE id = $1`, args{id}))
}

func proofRowsOf(proofs []flow.Proof) []proofRow {
	var rows []proofRow
	for _, p := range proofs {
		rows = append(rows, proofRow{p.Kind, p.Method, instant(p.At)})
	}
	return rows
}

func proofsOf(rows []proofRow) []flow.Proof {
	var proofs []flow.Proof
	for _, p := range rows {
		proofs = append(proofs, flow.Proof{Kind: p.Kind, Method: p.Method, At: time.Time(p.At)})
	}
	return proofs
}
