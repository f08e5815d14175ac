package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/config"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
	"latchkey.dev/internal/trail"
)

type eventCommand struct {
	List   eventList   `cmd:"" help:"Find events of the audit log."`
	Tail   eventTail   `cmd:"" help:"Show the last events, and then each new one as it happens."`
	Export eventExport `cmd:"" help:"Write the whole log as JSON lines that prove each other, or go on where a file ends."`
	Verify eventVerify `cmd:"" help:"Prove that an export, or the log in the database, is what was written."`
	Types  eventTypes  `cmd:"" help:"List the types of events there are, and what they mean."`
}

// which says which events are meant.
type which struct {
	configured
	Since  string `help:"Not older: 90m, 24h, 7d, or a time like 2026-05-06T12:00:00Z." placeholder:"WHEN"`
	Until  string `help:"Older than that." placeholder:"WHEN"`
	Type   string `help:"One type, or with a dot at the end all that begin so: signin." placeholder:"TYPE"`
	User   string `help:"A user's id or login." placeholder:"USER"`
	Client string `help:"An application's client id." placeholder:"ID"`
	Source string `help:"The address that requests came from." placeholder:"ADDRESS"`
	JSON   bool   `name:"json" help:"A line of JSON for each."`
}

// A log is the audit log of a database, opened.
type eventLog struct {
	*sqlstore.DB
	*trail.Keeper
}

func (c configured) openLog(ctx context.Context) (eventLog, error) {
	settings, keys, db, err := c.open(ctx, prompt())
	if err != nil {
		return eventLog{}, err
	}
	return eventLog{db, keeperOf(settings, trail.Config{Store: db, Keys: keys})}, nil
}

func keeperOf(c config.Config, t trail.Config) *trail.Keeper {
	t.Now, t.Retention = time.Now, c.Retention.Audit
	return trail.New(t)
}

// query is what the flags ask for. A login is looked up: events name users by their ids.
func (w which) query(ctx context.Context, db store.DB) (q store.AuditQuery, err error) {
	q = store.AuditQuery{Type: audit.Type(w.Type), User: w.User, Client: w.Client, Source: w.Source}
	if q.Since, err = when(w.Since); err != nil {
		return q, fmt.Errorf("--since: %w", err)
	}
	if q.Until, err = when(w.Until); err != nil {
		return q, fmt.Errorf("--until: %w", err)
	}
	if w.User == "" {
		return q, nil
	}
	err = db.View(ctx, func(tx store.Tx) error {
		if folded, ok := ident.FoldLogin(w.User); ok {
			u, err := tx.UserByLogin(ctx, folded)
			if err == nil {
				q.User = string(u.ID)
			}
			if !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil // an id, perhaps of somebody who was deleted
	})
	return q, err
}

// when reads a time, or how long ago it was.
func when(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	ago := s
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err == nil && fmt.Sprint(n) == days {
			ago = fmt.Sprintf("%dh", 24*n)
		}
	}
	d, err := time.ParseDuration(ago)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("%q is neither 90m, 24h or 7d, nor a time like 2026-05-06T12:00:00Z", s)
	}
	return time.Now().Add(-d), nil
}

func (w which) find(ctx context.Context, db store.DB, q store.AuditQuery, n int) (found []audit.Entry, err error) {
	err = db.View(ctx, func(tx store.Tx) error {
		found, err = tx.Search(ctx, q, n)
		return err
	})
	return found, err
}

// show writes events for people, or as JSON.
func (w which) show(out io.Writer, found []audit.Entry) error {
	for _, e := range found {
		line := forPeople(e)
		if w.JSON {
			line = string(e.JSON())
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// forPeople is an event on one line, with nothing in it that a terminal would take for an order.
func forPeople(e audit.Entry) string {
	outcome := "ok"
	if !e.OK {
		outcome = "REFUSED"
	}
	said := []string{e.At.UTC().Format("2006-01-02 15:04:05.000"), fmt.Sprintf("%-24s %-7s", e.Type, outcome)}
	for _, part := range []struct{ name, is string }{
		{"user", e.User}, {"login", e.Login}, {"client", e.Client}, {"target", e.Target}, {"reason", e.Reason}, {"actor", e.Actor},
		{"from", e.Source.Address}, {"flow", e.Flow},
	} {
		if part.is != "" {
			said = append(said, part.name+"="+word(part.is))
		}
	}
	return strings.Join(said, " ")
}

func word(s string) string {
	if plain := func(r rune) bool { return r > ' ' && r < 0x7f && r != '"' && r != '\\' }; strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return fmt.Sprintf("%+q", s)
}

const eventPage = 500

type eventList struct {
	which
	Limit int `short:"n" default:"100" help:"How many, the newest; 0 is all, oldest first."`
}

// Run finds events.
func (c eventList) Run(ctx context.Context, out io.Writer) error {
	log, err := c.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	q, err := c.query(ctx, log.DB)
	if err != nil {
		return err
	}
	if c.Limit > 0 {
		q.Last = true
		found, err := c.find(ctx, log.DB, q, c.Limit)
		if err != nil {
			return err
		}
		return c.show(out, found)
	}
	for {
		found, err := c.find(ctx, log.DB, q, eventPage)
		if err != nil || len(found) == 0 {
			return err
		}
		if err := c.show(out, found); err != nil {
			return err
		}
		q.After = found[len(found)-1].Seq
	}
}

type eventTail struct {
	which
	Limit int `short:"n" default:"10" help:"How many of the past to begin with."`
}

// tailEvery is how often the log is looked at. Whoever wants to know at once has metrics.
const tailEvery = 500 * time.Millisecond

// Run follows the log until it is interrupted. A database that is away for a while is waited for.
func (c eventTail) Run(ctx context.Context, out io.Writer) error {
	log, err := c.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	q, err := c.query(ctx, log.DB)
	if err != nil {
		return err
	}
	// Where the log ends now, whatever is asked for: of what comes later nothing may be missed.
	end, err := c.find(ctx, log.DB, store.AuditQuery{Last: true}, 1)
	if err != nil {
		return err
	}
	past := q
	past.Last = true
	found, err := c.find(ctx, log.DB, past, max(c.Limit, 1))
	if err != nil {
		return err
	}
	if len(end) > 0 {
		q.After = end[0].Seq
		found = slices.DeleteFunc(found, func(e audit.Entry) bool { return e.Seq > q.After })
	}
	if c.Limit <= 0 {
		found = nil
	}
	if err := c.show(out, found); err != nil {
		return err
	}
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		found, err := c.find(ctx, log.DB, q, eventPage)
		if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		if err := c.show(out, found); err != nil {
			return err
		}
		if len(found) > 0 {
			q.After = found[len(found)-1].Seq
		}
		if len(found) == eventPage {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return nil
}

type eventExport struct {
	configured
	File  string `arg:"" optional:"" help:"Append to it; what is there already is proved first. Without it the log is printed." placeholder:"FILE"`
	After int64  `help:"Print only what happened after the event at this place." placeholder:"SEQ"`
}

// Run exports the log.
func (c eventExport) Run(ctx context.Context, out io.Writer) error {
	log, err := c.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	if c.File == "" {
		err = c.print(ctx, out, log)
	} else if c.After != 0 {
		err = errors.New("a file knows itself after which event it goes on: leave --after out")
	} else {
		err = c.append(ctx, out, log)
	}
	if err != nil {
		return err
	}
	return log.DB.Update(ctx, func(tx store.Tx) error {
		e := atPrompt(audit.LogExported)
		e.Target = c.File
		return tx.Record(ctx, e)
	})
}

func (c eventExport) print(ctx context.Context, out io.Writer, log eventLog) error {
	from, err := log.Stands(ctx, c.After)
	if err != nil {
		return err
	}
	if c.After != 0 && from.Seq < c.After {
		return fmt.Errorf("there is no event at %d", c.After)
	}
	_, _, err = log.Export(ctx, out, from, false)
	return err
}

func (c eventExport) append(ctx context.Context, out io.Writer, log eventLog) (err error) {
	file, err := os.OpenFile(c.File, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	before, err := audit.Read(file, log.Vouch)
	switch {
	case errors.Is(err, audit.ErrHalf), errors.Is(err, audit.ErrCut): // empty, or left by an export that was killed
	case err != nil:
		return fmt.Errorf("%s is not touched: %w", c.File, err)
	}
	if err := file.Truncate(before.Size); err != nil { // at most the half line
		return err
	}
	if _, err := file.Seek(before.Size, io.SeekStart); err != nil {
		return err
	}
	end, n, err := log.Export(ctx, file, before.Ends, before.Lines > 0 && before.Size > 0)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: %d events more, up to %d; its hash is %s\n", c.File, n, end.Seq, end.Hash)
	return err
}

type eventVerify struct {
	configured
	File       string `arg:"" optional:"" help:"An export. Without it the log in the database is checked against its seals." placeholder:"FILE"`
	WithoutKey bool   `help:"Check the chain of a file alone, without database and master key: this finds mistakes, and not somebody who made the whole file anew."`
	JSON       bool   `name:"json" help:"As JSON."`
}

// A verdict is what verify found, as JSON.
type verdict struct {
	Events  int64      `json:"events"`
	After   int64      `json:"after"` // the place that the log begins after; 0 is its beginning
	Ends    int64      `json:"ends"`
	Hash    audit.Hash `json:"hash"`
	Sealed  int64      `json:"sealed"`            // up to there a seal vouches for it
	Matches *bool      `json:"matches,omitempty"` // the file is the database's log; nil if that cannot be said any more
}

// Run verifies.
func (c eventVerify) Run(ctx context.Context, out io.Writer) error {
	if c.WithoutKey {
		if c.File == "" {
			return errors.New("name a file: the log in the database cannot be checked without the key")
		}
		r, err := readExport(c.File, nil)
		if err != nil {
			return err
		}
		return c.say(out, r.Begins, r.Ends, r.Ends, nil)
	}
	log, err := c.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	if c.File == "" {
		begins, sealed, ends, err := log.Check(ctx)
		if err != nil {
			return err
		}
		return c.say(out, begins, sealed, ends, nil)
	}
	r, err := readExport(c.File, log.Vouch)
	if err != nil {
		return err
	}
	here, err := log.Stands(ctx, r.Ends.Seq)
	if err != nil {
		return err
	}
	switch {
	case here.Seq > r.Ends.Seq: // trimmed since
		return c.say(out, r.Begins, r.Ends, r.Ends, nil)
	case here != r.Ends:
		return fmt.Errorf("%s is whole, but the database holds another log up to %d: one of them was changed", c.File, r.Ends.Seq)
	}
	matches := true
	return c.say(out, r.Begins, r.Ends, r.Ends, &matches)
}

func readExport(name string, vouch func(audit.Seal) bool) (audit.Report, error) {
	file, err := os.Open(name)
	if err != nil {
		return audit.Report{}, err
	}
	defer file.Close()
	r, err := audit.Read(file, vouch)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return r, err
}

func (c eventVerify) say(out io.Writer, begins, sealed, ends audit.Link, matches *bool) error {
	v := verdict{ends.Events - begins.Events, begins.Seq, ends.Seq, ends.Hash, sealed.Seq, matches}
	if c.JSON {
		return json.NewEncoder(out).Encode(v)
	}
	said := fmt.Sprintf("%d events, none changed, removed, added or moved. The last is %d, its hash %s.\n", v.Events, v.Ends, v.Hash)
	if v.After > 0 {
		said += fmt.Sprintf("It begins after event %d: %d events before that are not in it.\n", v.After, begins.Events)
	}
	if v.Sealed < v.Ends {
		said += fmt.Sprintf("Seals cover it up to event %d. What came later is covered within an hour.\n", v.Sealed)
	}
	if matches != nil {
		said += "The database holds the same.\n"
	}
	if c.WithoutKey {
		said += "Whether our server sealed it was not checked.\n"
	}
	_, err := io.WriteString(out, said)
	return err
}

type eventTypes struct {
	JSON bool `name:"json" help:"As JSON."`
}

// Run lists types.
func (c eventTypes) Run(out io.Writer) error {
	all := audit.Types()
	if c.JSON {
		return json.NewEncoder(out).Encode(audit.Meanings)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, t := range all {
		fmt.Fprintf(w, "%s\t%s\n", t, audit.Meanings[t])
	}
	return w.Flush()
}
