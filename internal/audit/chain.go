package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// An Entry is an event at its place in the log.
type Entry struct {
	Seq int64
	Event
}

// A Link is where the chain stands after an event: the log up to there, in 32 bytes. The zero Link is where it
// begins. The chain is a function of the log alone, so whoever exports it, and whenever, gets the same lines;
// it costs nothing where events are recorded, and PostgreSQL commits them in no order that a hash could follow.
type Link struct {
	Seq    int64 // of the last event
	Events int64 // so far
	Hash   Hash  // of the last line
}

// A Hash is the SHA-256 of a line, without the end of the line.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes it as hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reverses MarshalText.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(h)) {
		return errors.New("audit: a hash of another length")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Next is the line of the next event, without an end, and where the chain stands after it.
func (l Link) Next(e Entry) (line []byte, next Link) {
	line = marshal(lineOf(e, &l.Hash))
	return line, Link{Seq: e.Seq, Events: l.Events + 1, Hash: sha256.Sum256(line)}
}

// A line is an event as it is exported. Its members, their order and their spelling never change, or old
// chains would not verify; new ones may be added if they are left out when empty.
type line struct {
	Seq       int64  `json:"seq"`
	Prev      *Hash  `json:"prev,omitempty"` // of the line before
	At        string `json:"at"`
	Type      Type   `json:"type"`
	OK        bool   `json:"ok"`
	Actor     string `json:"actor,omitempty"`
	User      string `json:"user,omitempty"`
	Login     string `json:"login,omitempty"`
	Client    string `json:"client,omitempty"`
	Flow      string `json:"flow,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Target    string `json:"target,omitempty"`
	Finger    string `json:"number,omitempty"`
	Grant     string `json:"grant,omitempty"`
	Address   string `json:"source,omitempty"`
	Agent     string `json:"agent,omitempty"`
	Device    string `json:"device,omitempty"`
	RequestID string `json:"request,omitempty"`
}

func lineOf(e Entry, prev *Hash) line {
	return line{
		Seq: e.Seq, Prev: prev, At: e.At.UTC().Format("2006-01-02T15:04:05.000000Z"), Type: e.Type, OK: e.OK, Actor: e.Actor,
		User: e.User, Login: e.Login, Client: e.Client, Flow: e.Flow, Reason: e.Reason, Target: e.Target, Finger: e.Finger,
		Grant: e.GrantID, Address: e.Source.Address, Agent: e.Source.Agent, Device: e.Source.Device, RequestID: e.Source.RequestID,
	}
}

// JSON is an entry by itself: its line of the export, without the hash of another.
func (e Entry) JSON() []byte { return marshal(lineOf(e, nil)) }

// marshal escapes whatever could end a line: one event is one line, whoever chose its words (S-73).
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("audit: a line that is not JSON: " + err.Error()) // strings and numbers always are
	}
	return b
}

// A Seal vouches for a Link with a key that the database does not hold. The database keeps one for each hour, so
// that the chain can be walked from there and survives the removal of what is old; an export ends with one.
type Seal struct {
	Link
	At  time.Time // when it was made: what it covers was recorded before
	MAC Hash      // over the link and the time
}

// Parts are what the MAC is over.
func (s Seal) Parts() []string {
	return []string{fmt.Sprint(s.Seq), fmt.Sprint(s.Events), s.Hash.String(), s.At.UTC().Format(time.RFC3339Nano)}
}

type sealLine struct {
	Seal *sealValue `json:"seal"`
}

type sealValue struct {
	Seq    int64  `json:"seq"`
	Events int64  `json:"events"`
	Hash   Hash   `json:"hash"`
	At     string `json:"at"`
	MAC    Hash   `json:"mac"`
}

// JSON is the seal as a line of an export.
func (s Seal) JSON() []byte {
	return marshal(sealLine{&sealValue{s.Seq, s.Events, s.Hash, s.At.UTC().Format(time.RFC3339Nano), s.MAC}})
}

// Read checks an export: that no line was changed, removed, added or moved. It is given to vouch what judges a
// seal's MAC; nil takes seals as they are, and then whoever can write the file can also make it anew.
//
// A file that begins in the middle of the log, or goes on after events that were removed, says so with a seal
// in front: where it begins is in the report, and what is missing in between is an error.
func Read(file io.Reader, vouch func(Seal) bool) (Report, error) {
	r := Report{}
	lines := bufio.NewReader(file)
	for n := 1; ; n++ {
		b, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && len(b) == 0:
			return r, r.end()
		case errors.Is(err, io.EOF):
			return r, fmt.Errorf("line %d: %w", n, ErrHalf)
		case err != nil:
			return r, err
		}
		if err := r.line(bytes.TrimSuffix(b, []byte("\n")), vouch); err != nil {
			return r, fmt.Errorf("line %d: %w", n, err)
		}
		r.Size += int64(len(b))
	}
}

// A Report is what an export holds, as far as it was read.
type Report struct {
	Begins Link // zero: at the beginning of the log
	Ends   Link
	Lines  int
	Size   int64 // of these lines
	sealed bool  // the last line is a seal
}

var (
	// ErrBroken is a file that is not what was exported.
	ErrBroken = errors.New("the chain is broken")
	// ErrHalf is a file that ends within a line, as an export does that was killed.
	ErrHalf = errors.New("the file ends in the middle of it")
	// ErrCut is a file without its end: the last line is no seal.
	ErrCut = errors.New("the file has no end: an export ends with a seal, and this one does not")
)

func (r *Report) line(b []byte, vouch func(Seal) bool) error {
	r.Lines++
	var v struct {
		Seq  int64      `json:"seq"`
		Prev *Hash      `json:"prev"`
		Seal *sealValue `json:"seal"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("%w: not a line of an export: %w", ErrBroken, err)
	}
	switch {
	case v.Seal != nil:
		return r.seal(b, *v.Seal, vouch)
	case v.Prev == nil:
		return fmt.Errorf("%w: neither an event nor a seal", ErrBroken)
	case *v.Prev != r.Ends.Hash:
		return fmt.Errorf("%w: event %d does not follow event %d: a line was changed, removed, added or moved here or just before",
			ErrBroken, v.Seq, r.Ends.Seq)
	case v.Seq <= r.Ends.Seq:
		return fmt.Errorf("%w: event %d comes after event %d", ErrBroken, v.Seq, r.Ends.Seq)
	}
	r.Ends = Link{Seq: v.Seq, Events: r.Ends.Events + 1, Hash: sha256.Sum256(b)}
	r.sealed = false
	return nil
}

func (r *Report) seal(b []byte, v sealValue, vouch func(Seal) bool) error {
	at, err := time.Parse(time.RFC3339Nano, v.At)
	s := Seal{Link: Link{Seq: v.Seq, Events: v.Events, Hash: v.Hash}, At: at, MAC: v.MAC}
	switch {
	case err != nil || !bytes.Equal(b, s.JSON()): // nothing beside it, and one way to write it
		return fmt.Errorf("%w: a seal that nobody made", ErrBroken)
	case vouch != nil && !vouch(s):
		return fmt.Errorf("%w: the seal after event %d is not of this master key", ErrBroken, s.Seq)
	case r.Lines == 1:
		r.Begins, r.Ends = s.Link, s.Link
	case s.Events > r.Ends.Events:
		return fmt.Errorf("%w: %d events between %d and %d are missing: removed from the file, or from the database before they were exported",
			ErrBroken, s.Events-r.Ends.Events, r.Ends.Seq, s.Seq)
	case s.Link != r.Ends:
		return fmt.Errorf("%w: the seal is of another log, or what stands before it was changed", ErrBroken)
	}
	r.sealed = true
	return nil
}

func (r *Report) end() error {
	if !r.sealed {
		return ErrCut
	}
	return nil
}
