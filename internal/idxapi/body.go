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

// bounded walks the tokens and refuses depth, breadth and anything behind the object.
func bounded(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	depth, count := 0, 0
	for {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return malformed("%w", withoutValue(err))
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				depth++
			} else {
				depth--
			}
		case string:
			for _, c := range t {
				if c < 0x20 || c == 0x7f {
					return malformed("control character %#x", c)
				}
			}
		}
		if count++; depth > maxDepth || count > 4*maxMembers {
			return malformed("too deep or too wide")
		}
		if depth == 0 && dec.InputOffset() < int64(len(bytes.TrimRight(raw, " \t\r\n"))) {
			return malformed("more than one value")
		}
	}
	if count == 0 {
		return malformed("empty")
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
