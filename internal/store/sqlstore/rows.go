package sqlstore

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"latchkey.dev/internal/secret"
)

// The values that rows keep in JSON. The domain's types print themselves for people, or not at all, so
// each has its own form here.

// A digest is a [secret.Digest] as hexadecimal; the zero one is the empty string.
type digest secret.Digest

func (d digest) MarshalText() ([]byte, error) {
	if (d == digest{}) {
		return nil, nil
	}
	return hex.AppendEncode(nil, d[:]), nil
}

func (d *digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = digest{}
		return nil
	}
	if len(b) != hex.EncodedLen(len(d)) {
		return errors.New("sqlstore: a digest of another length")
	}
	_, err := hex.Decode(d[:], b)
	return err
}

func (d digest) IsZero() bool { return d == digest{} }

// A span is a duration as 15m0s.
type span time.Duration

func (s span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = span(d)
	return err
}

// An instant is a time as microseconds, like in a column.
type instant time.Time

func (i instant) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, micros(time.Time(i)), 10), nil
}

func (i *instant) UnmarshalJSON(b []byte) error {
	m, err := strconv.ParseInt(string(b), 10, 64)
	*i = instant(moment(m))
	return err
}

func (i instant) IsZero() bool { return time.Time(i).IsZero() }

// unmarshalExact keeps numbers as they were written: microseconds do not fit into a float.
func unmarshalExact(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}
