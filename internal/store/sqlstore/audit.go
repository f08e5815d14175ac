package sqlstore

import (
	"context"
	"database/sql"
	"math"
	"time"

	"latchkey.dev/internal/audit"
)

func (t *tx) Record(ctx context.Context, events ...audit.Event) error {
	for _, e := range events {
		if _, err := t.exec(ctx, t.db.text.record, args{int64(t.events), micros(e.At), doc(eventRowOf(e)),
			string(e.Type), e.User, e.Client, e.Source.Address}); err != nil {
			return err
		}
		t.events++
		t.watch.recorded(e)
	}
	return nil
}

func (t *tx) Events(ctx context.Context, after int64, n int) ([]audit.Event, int64, error) {
	var events []audit.Event
	next := after
	err := t.each(ctx, t.db.text.events, args{after, int64(min(n, math.MaxInt32))}, func(rows *sql.Rows) error {
		var r eventRow
		err := rows.Scan(&next, docInto{&r})
		events = append(events, r.event())
		return err
	})
	if err != nil {
		return nil, after, err
	}
	return events, next, nil
}

// eventRow is a line of the audit log as it is stored.
type eventRow struct {
	Type      audit.Type `json:"type"`
	At        instant    `json:"at"`
	OK        bool       `json:"ok"`
	Actor     string     `json:"actor,omitempty"`
	User      string     `json:"user,omitempty"`
	Login     string     `json:"login,omitempty"`
	Client    string     `json:"client,omitempty"`
	Flow      string     `json:"flow,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Target    string     `json:"target,omitempty"`
	Finger    string     `json:"finger,omitempty"`
	Grant     string     `json:"grant,omitempty"`
	Address   string     `json:"address,omitempty"`
	Agent     string     `json:"agent,omitempty"`
	Device    string     `json:"device,omitempty"`
	RequestID string     `json:"request_id,omitempty"`
}

func eventRowOf(e audit.Event) eventRow {
	return eventRow{e.Type, instant(e.At), e.OK, e.Actor, e.User, e.Login, e.Client, e.Flow, e.Reason, e.Target, e.Finger, e.GrantID,
		e.Source.Address, e.Source.Agent, e.Source.Device, e.Source.RequestID}
}

func (r eventRow) event() audit.Event {
	return audit.Event{Type: r.Type, At: time.Time(r.At), OK: r.OK, Actor: r.Actor, User: r.User, Login: r.Login, Client: r.Client, Flow: r.Flow,
		Reason: r.Reason, Target: r.Target, Finger: r.Finger, GrantID: r.Grant,
		Source: audit.Source{Address: r.Address, Agent: r.Agent, Device: r.Device, RequestID: r.RequestID}}
}
