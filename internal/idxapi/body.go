package idxapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/msg"
	"latchkey.dev/internal/secret"
)

// The bounds of a request (S-47).
const (
	maxBody       = 64 << 10
	maxDepth      = 32
	maxMembers    = 256
	maxIdentifier = 254
)

// A body is a decoded request. Its accessors collect the first thing that is wrong, so that a step reads
// all it wants and asks once. Members that nobody asks for are ignored (S-20); a member of the wrong
// type is refused and never converted (S-48).
type body struct {
	members map[string]any
	problem *error
}

func malformed(format string, args ...any) error {
	return fault.New(fault.Invalid, msg.Malformed, format, args...)
}

// decode reads one JSON object, within bounds.
func decode(w http.ResponseWriter, r *http.Request) (body, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return body{}, err
	}
	if err != nil {
		return body{}, malformed("reading: %w", err)
	}
	return parse(raw)
}

func parse(raw []byte) (body, error) {
	if !utf8.Valid(raw) {
		return body{}, malformed("not UTF-8")
	}
	if err := bounded(raw); err != nil {
		return body{}, err
	}
	b := body{problem: new(error)}
	if err := json.Unmarshal(raw, &b.members); err != nil {
		return body{}, malformed("%w", withoutValue(err))
	}
	if b.members == nil {
		return body{}, malformed("null is no object")
	}
	return b, nil
}

// withoutValue keeps what was sent out of an error that will be logged.
func withoutValue(err error) error {
	if at := (*json.SyntaxError)(nil); errors.As(err, &at) {
		return fmt.Errorf("JSON syntax at byte %d", at.Offset)
	}
	return errors.New("not one JSON object")
}

// bounded walks the tokens and refuses what a decoder would take in silence: too much depth or breadth,
// anything behind the object, a name twice in one object (whoever read it before us may have taken the
// other one), and text that is none.
func bounded(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var in nest
	for n := 0; ; n++ {
		token, err := dec.Token()
		switch {
		case err == io.EOF && n == 0:
			return malformed("empty")
		case err == io.EOF:
			return nil
		case err != nil:
			return malformed("%w", withoutValue(err))
		case n > 0 && len(in) == 0:
			return malformed("more than one value")
		case n > 4*maxMembers:
			return malformed("more than %d tokens", n)
		}
		if err := in.take(token); err != nil {
			return err
		}
	}
}

// A nest is the objects and lists that a token is in, the innermost last.
type nest []container

// A container is a list, or an object with the names it has so far.
type container struct {
	names map[string]bool // nil in a list
	named bool            // the token before was a name, so the next one is its value
}

func (in *nest) take(token json.Token) error {
	if t, ok := token.(string); ok {
		if err := plain(t); err != nil {
			return err
		}
	}
	switch token {
	case json.Delim('}'), json.Delim(']'):
		*in = (*in)[:len(*in)-1]
		return nil
	}
	if n := len(*in); n > 0 && (*in)[n-1].names != nil {
		inner := &(*in)[n-1]
		if inner.named = !inner.named; inner.named {
			return inner.name(token.(string)) // the decoder lets nothing else stand there
		}
	}
	switch token {
	case json.Delim('{'):
		*in = append(*in, container{names: map[string]bool{}})
	case json.Delim('['):
		*in = append(*in, container{})
	}
	if len(*in) > maxDepth {
		return malformed("more than %d deep", maxDepth)
	}
	return nil
}

func (c *container) name(n string) error {
	if c.names[n] {
		return malformed("a name twice")
	}
	if c.names[n] = true; len(c.names) > maxMembers {
		return malformed("more than %d members", maxMembers)
	}
	return nil
}

// plain refuses control characters, and what the decoder puts in place of half a surrogate pair: two
// passwords that differ in it would become one.
func plain(s string) error {
	for _, c := range s {
		if c < 0x20 || c == 0x7f || c == utf8.RuneError {
			return malformed("character %#x", c)
		}
	}
	return nil
}

func (b body) wrong(err error) {
	if *b.problem == nil {
		*b.problem = err
	}
}

// fail returns the first problem.
func (b body) fail() error { return *b.problem }

// handle reads the state handle that every step carries.
func (b body) handle() secret.Text { return secret.Text(b.text("stateHandle", true)) }

// text reads a string member.
func (b body) text(name string, required bool) string {
	v, there := b.optional(name)
	if required && (!there || v == "") {
		b.wrong(missing(name))
	}
	return v
}

// optional reads a string member and says whether it was there.
func (b body) optional(name string) (string, bool) {
	v, there := b.members[name]
	if !there {
		return "", false
	}
	s, ok := v.(string)
	if !ok {
		b.wrong(malformed("%s is a %T", name, v).(*fault.Fault).At(name))
	}
	return s, ok
}

// object reads a member that is an object; absent is empty.
func (b body) object(name string) body {
	v, there := b.members[name]
	o, ok := v.(map[string]any)
	if there && !ok {
		b.wrong(malformed("%s is a %T", name, v).(*fault.Fault).At(name))
	}
	return body{members: o, problem: b.problem}
}
