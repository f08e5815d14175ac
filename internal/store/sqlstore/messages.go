package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/store"
)

// grace is how long a message that nobody settled outlives its last moment, before a sweep takes it.
const grace = 24 * time.Hour

func (t *tx) AddMessage(ctx context.Context, m store.Message) error {
	return added(t.exec(ctx, `INSERT INTO messages (id, channel, recipient, body, country, proved, avoid, send_id, created, not_after,
		attempts, tried, status, due, lease, ended)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`,
		args{m.ID, m.Channel, t.seal(messageRecipient, m.ID, []byte(m.To)), t.seal(messageBody, m.ID, []byte(m.Body)), m.Country, m.Proved,
			m.Avoid, m.Send, micros(m.Created), micros(m.NotAfter), int64(m.Attempts), m.Tried, string(cmp.Or(m.Status, store.Waiting)),
			micros(m.Due), m.Lease, micros(m.NotAfter.Add(grace))}))
}

// messageColumns are those of a message that anybody may see.
const messageColumns = `id, channel, country, proved, avoid, send_id, created, not_after, attempts, tried, status, due, lease`

func messageInto(m *store.Message) []any {
	return []any{&m.ID, &m.Channel, &m.Country, &m.Proved, &m.Avoid, &m.Send, timeInto{&m.Created}, timeInto{&m.NotAfter}, &m.Attempts,
		&m.Tried, (*string)(&m.Status), timeInto{&m.Due}, &m.Lease}
}

func (t *tx) Message(ctx context.Context, id string) (store.Message, error) {
	var m store.Message
	err := t.one(ctx, `SELECT `+messageColumns+` FROM messages WHERE id = $1`, args{id}, messageInto(&m)...)
	return m, err
}

// leaseMessages takes what is due. The condition is checked again on the locked rows, so a message
// goes to one worker.
func leaseMessages(skipLocked string) string {
	return `UPDATE messages SET lease = $1, due = $2 WHERE id IN
		(SELECT id FROM messages WHERE status = 'waiting' AND due <= $3 ORDER BY due LIMIT $4` + skipLocked + `)
		RETURNING recipient, body, ` + messageColumns
}

func (t *tx) LeaseMessages(ctx context.Context, worker string, now, until time.Time, n int) ([]store.Message, error) {
	type sealed struct{ to, body []byte }
	var all []store.Message
	var hidden []sealed
	err := t.each(ctx, t.db.text.lease, args{worker, micros(until), micros(now), int64(n)}, func(rows *sql.Rows) error {
		var m store.Message
		var s sealed
		err := rows.Scan(append([]any{&s.to, &s.body}, messageInto(&m)...)...)
		all, hidden = append(all, m), append(hidden, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		to, err := t.unseal(messageRecipient, all[i].ID, hidden[i].to)
		if err != nil {
			return nil, err
		}
		body, err := t.unseal(messageBody, all[i].ID, hidden[i].body)
		if err != nil {
			return nil, err
		}
		all[i].To, all[i].Body = secret.Text(to), secret.Text(body)
	}
	slices.SortStableFunc(all, func(a, b store.Message) int { return a.Created.Compare(b.Created) })
	return all, nil
}

// mine is the condition under which a worker may decide about a message.
const mine = ` WHERE id = $1 AND status = 'waiting' AND (lease = $2 OR lease = '')`

func (t *tx) Settle(ctx context.Context, id, worker string, s store.MessageStatus, at time.Time) error {
	return stale(t.exec(ctx, `UPDATE messages SET status = $3, ended = $4, recipient = NULL, body = NULL, lease = ''`+mine,
		args{id, worker, string(s), micros(at)}))
}

func (t *tx) Postpone(ctx context.Context, id, worker string, due time.Time, tried string) error {
	return stale(t.exec(ctx, `UPDATE messages SET attempts = attempts + 1, due = $3, tried = $4, lease = ''`+mine,
		args{id, worker, micros(due), tried}))
}

// stale judges a conditional UPDATE.
func stale(n int64, err error) error {
	if err == nil && n == 0 {
		return store.ErrStale
	}
	return err
}
