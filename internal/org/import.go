package org

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/store"
)

// Format is how a file of people is written.
type Format int

// The formats.
const (
	JSONLines Format = iota
	CSV
)

// batch is how many rows of a file are read for one transaction: enough that the commit does not count, few
// enough that sign-ins do not wait for it.
const batch = 1000

// A Ledger takes the rows that were rejected; an [os.File] is one.
type Ledger interface {
	io.WriteSeeker
	Truncate(size int64) error
	Sync() error
}

// An Import is a file of people to be taken in.
type Import struct {
	File   io.ReaderAt
	Size   int64
	Format Format
	Resume bool // go on where an import of the same file stopped
	// Ledger opens where rejected rows go, as {"line","reason","row"} each; it is asked for at the first of them.
	Ledger   func() (Ledger, error)
	Progress func(Progress) // after every commit; may be nil
}

// Progress is how far an import has come. It is kept in the database, in the commit of the rows that it counts:
// after a crash an import goes on behind the last row that was taken, and takes none twice.
type Progress struct {
	Offset   int64 `json:"offset"` // in the file
	Line     int   `json:"line"`   // of the last row
	Added    int   `json:"added"`
	Rejected int   `json:"rejected"`
	Ledger   int64 `json:"ledger"` // how long the ledger is
	Size     int64 `json:"size"`
	Done     bool  `json:"done,omitempty"` // to the end: there is nothing to go on with
}

// name is the setting that keeps the progress of a file. The beginning and the length tell files apart.
func (i Import) name() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d\n", i.Format, i.Size)
	if _, err := io.Copy(h, io.NewSectionReader(i.File, 0, min(i.Size, 1<<20))); err != nil {
		return "", err
	}
	return fmt.Sprintf("import.%x", h.Sum(nil)[:12]), nil
}

// Import takes people in, batch by batch. A row that is wrong is left out and goes to the ledger; whoever has a
// login already stays as they are.
func (o *Org) Import(ctx context.Context, in Import) (Progress, error) {
	name, err := in.name()
	if err != nil {
		return Progress{}, err
	}
	at, err := o.begin(ctx, name, in)
	if err != nil || at.Done {
		return at, err
	}
	desk, err := o.receive(ctx)
	if err != nil {
		return at, err
	}
	rows, err := newRows(in, at)
	if err != nil {
		return at, err
	}
	// Reading goes on while the database writes.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	batches := make(chan load, 1)
	go desk.read(ctx, rows, batches)
	books := &books{in: in, length: at.Ledger}
	for b := range batches {
		if b.err != nil {
			return at, b.err
		}
		next, err := o.take(ctx, name, at, b, books)
		if err != nil {
			return at, err
		}
		at = next
		if in.Progress != nil {
			in.Progress(at)
		}
	}
	if err := ctx.Err(); err != nil {
		return at, err
	}
	ended := at
	ended.Done = true
	err = o.Store.Update(ctx, func(tx store.Tx) error {
		kept, err := tx.Setting(ctx, name)
		if err != nil || kept != at.text() {
			return errors.Join(err, refuse("another import of this file is under way"))
		}
		return tx.PutSetting(ctx, name, ended.text())
	})
	return ended, err
}

// begin finds out where to begin.
func (o *Org) begin(ctx context.Context, name string, in Import) (at Progress, err error) {
	err = o.Store.Update(ctx, func(tx store.Tx) error {
		at = Progress{Size: in.Size}
		kept, err := tx.Setting(ctx, name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return tx.PutSetting(ctx, name, at.text())
		case err != nil:
			return err
		}
		if err := json.Unmarshal([]byte(kept), &at); err != nil {
			return err
		}
		switch {
		case at.Done && !in.Resume: // once more, from the beginning
			at = Progress{Size: in.Size}
			return tx.PutSetting(ctx, name, at.text())
		case !in.Resume:
			return refuse("an import of this file stopped behind line %d, after %d users: --resume goes on from there", at.Line, at.Added)
		}
		return nil
	})
	return at, err
}

func (p Progress) text() string {
	b, _ := json.Marshal(p) // numbers do not fail
	return string(b)
}

// A load is a batch of rows, judged.
type load struct {
	people []entry
	bad    []reject
	offset int64 // behind the last of them
	line   int
	err    error
}

// An entry is somebody with the row they come from.
type entry struct {
	person store.Person
	line   int
	raw    []byte
}

// A reject is a row that was not taken.
type reject struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
	Row    string `json:"row"`
}

// read judges rows, until there are no more or nobody wants them.
func (c *reception) read(ctx context.Context, rows *rows, to chan<- load) {
	defer close(to)
	for more := true; more; {
		b := load{}
		for len(b.people)+len(b.bad) < batch {
			raw, r, err := rows.next()
			if errors.Is(err, io.EOF) {
				more = false
				break
			}
			if fatal := (*unreadable)(nil); errors.As(err, &fatal) {
				b.err = fatal.error
				more = false
				break
			}
			var p store.Person
			if err == nil {
				p, err = c.person(r)
			}
			if err != nil {
				b.bad = append(b.bad, reject{rows.line, err.Error(), string(raw)})
				continue
			}
			b.people = append(b.people, entry{p, rows.line, raw})
		}
		b.offset, b.line = rows.offset, rows.line
		if len(b.people)+len(b.bad) == 0 && b.err == nil {
			return
		}
		select {
		case to <- b:
		case <-ctx.Done():
			return
		}
	}
}

// take writes a batch. The ledger is written before the commit and cut to its length afterwards, should there
// be none: what it holds and what the database holds is one account.
func (o *Org) take(ctx context.Context, name string, at Progress, b load, books *books) (Progress, error) {
	var people []store.Person
	for _, e := range b.people {
		people = append(people, e.person)
	}
	var next Progress
	err := o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		kept, err := tx.Setting(ctx, name)
		if err != nil || kept != at.text() {
			return nil, errors.Join(err, refuse("another import of this file is under way"))
		}
		taken, err := tx.AddPeople(ctx, people)
		if err != nil {
			return nil, err
		}
		bad := b.bad
		for _, i := range taken {
			e := b.people[i]
			bad = append(bad[:len(bad):len(bad)], reject{e.line, fmt.Sprintf("there is a user %q, or one with that id, already", e.person.User.Login), string(e.raw)})
		}
		slices.SortFunc(bad, func(a, b reject) int { return a.Line - b.Line })
		length, err := books.write(at.Ledger, bad)
		if err != nil {
			return nil, err
		}
		next = Progress{Offset: b.offset, Line: b.line, Size: at.Size, Ledger: length,
			Added: at.Added + len(people) - len(taken), Rejected: at.Rejected + len(bad)}
		if err := tx.PutSetting(ctx, name, next.text()); err != nil {
			return nil, err
		}
		return o.one(ctx, audit.UsersImported, audit.Event{
			Reason: fmt.Sprintf("%d users of lines %d to %d; %d rows rejected", len(people)-len(taken), at.Line+1, b.line, len(bad)),
		}), nil
	})
	return next, err
}

// books are the ledger as far as it is written.
type books struct {
	in     Import
	to     Ledger
	length int64
}

// write adds rejected rows behind a length that is certain, and returns the length then.
func (k *books) write(certain int64, bad []reject) (int64, error) {
	if len(bad) == 0 {
		return certain, nil
	}
	if k.in.Ledger == nil {
		return 0, refuse("line %d: %s", bad[0].Line, bad[0].Reason)
	}
	if k.to == nil {
		to, err := k.in.Ledger()
		if err != nil {
			return 0, err
		}
		k.to = to
	}
	if err := k.to.Truncate(certain); err != nil {
		return 0, err
	}
	if _, err := k.to.Seek(certain, io.SeekStart); err != nil {
		return 0, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, r := range bad {
		if err := e.Encode(r); err != nil {
			return 0, err
		}
	}
	n, err := k.to.Write(b.Bytes())
	return certain + int64(n), errors.Join(err, k.to.Sync())
}

// rows read a file row by row, and know where they are.
type rows struct {
	in     Import
	header []string
	from   int64 // where the reader began
	offset int64 // behind the last row
	line   int   // of the last row
	lines  *bufio.Reader
	csv    *csv.Reader
	base   int // lines ahead of the reader
}

// unreadable is a failure to read the file: no row's fault.
type unreadable struct{ error }

func newRows(in Import, at Progress) (*rows, error) {
	r := &rows{in: in, from: at.Offset, offset: at.Offset, line: at.Line, base: at.Line}
	if in.Format == JSONLines {
		r.lines = bufio.NewReaderSize(io.NewSectionReader(in.File, at.Offset, in.Size-at.Offset), maxRow)
		return r, nil
	}
	r.csv = records(in, 0)
	header, err := r.csv.Read()
	if err != nil {
		return nil, refuse("the first line, which names the columns, cannot be read: %v", err)
	}
	r.header = append([]string(nil), header...)
	if len(r.header) > 0 {
		r.header[0] = string(bytes.TrimPrefix([]byte(r.header[0]), []byte("\ufeff"))) // some spreadsheets begin with it
	}
	if err := checkHeader(r.header); err != nil {
		return nil, err
	}
	if at.Offset == 0 {
		r.from, r.base = 0, 0
		r.offset = r.csv.InputOffset()
		return r, nil
	}
	r.csv = records(in, at.Offset)
	return r, nil
}

func records(in Import, from int64) *csv.Reader {
	c := csv.NewReader(io.NewSectionReader(in.File, from, in.Size-from))
	c.FieldsPerRecord = -1 // judged row by row
	c.ReuseRecord = true
	return c
}

func (r *rows) next() (raw []byte, parsed row, err error) {
	if r.in.Format == CSV {
		return r.nextRecord()
	}
	for {
		line, err := r.lines.ReadSlice('\n')
		length := int64(len(line))
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			var rest []byte
			rest, err = r.lines.ReadSlice('\n')
			length += int64(len(rest))
		}
		if err != nil && (!errors.Is(err, io.EOF) || length == 0) {
			return nil, row{}, readError(err)
		}
		r.offset += length
		r.line++
		if long {
			return nil, row{}, fmt.Errorf("is longer than %d bytes", maxRow)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		raw = bytes.Clone(line)
		parsed, err = parseJSON(raw)
		return raw, parsed, err
	}
}

// readError keeps the end of the file apart from a file that cannot be read.
func readError(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return &unreadable{err}
}

func (r *rows) nextRecord() ([]byte, row, error) {
	before := r.offset
	record, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, row{}, io.EOF
	}
	r.offset = r.from + r.csv.InputOffset()
	raw := make([]byte, min(r.offset-before, maxRow))
	if _, broken := r.in.File.ReadAt(raw, before); broken != nil && !errors.Is(broken, io.EOF) {
		return nil, row{}, &unreadable{broken}
	}
	raw = bytes.TrimSpace(raw)
	var bad *csv.ParseError
	switch {
	case errors.As(err, &bad):
		r.line = r.base + bad.Line
		return raw, row{}, bad.Err
	case err != nil:
		return nil, row{}, &unreadable{err}
	}
	line, _ := r.csv.FieldPos(len(record) - 1)
	r.line = r.base + line
	if r.offset-before > maxRow {
		return raw, row{}, fmt.Errorf("is longer than %d bytes", maxRow)
	}
	parsed, err := parseCSV(r.header, record)
	return raw, parsed, err
}

// Took is how long an import of so many rows took, for people.
func Took(rows int, d time.Duration) string {
	return fmt.Sprintf("%d rows in %s, %d per second", rows, d.Round(10*time.Millisecond), int(float64(rows)/max(d.Seconds(), 0.001)))
}
