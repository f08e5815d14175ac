package idx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Poll asks once whether an out-of-band proof has arrived.
func (c *Client) Poll(ctx context.Context, tx *Transaction) (*Transaction, error) {
	tx, err := c.open(ctx, tx)
	if err != nil {
		return nil, err
	}
	d := tx.document()
	if d == nil || d.poll() == nil {
		return nil, notOffered(tx, "poll")
	}
	return c.post(ctx, tx, d.poll(), nil, true)
}

// Wait polls at the engine's own pace until something changes, ctx ends or the transaction expires ([ErrExpired]). A rate
// limit makes it slower, every other refusal ends it. One Wait per transaction at a time: two would answer each other.
func (c *Client) Wait(ctx context.Context, tx *Transaction) (*Transaction, error) {
	tx, err := c.open(ctx, tx)
	if err != nil {
		return nil, err
	}
	for pause := time.Duration(0); ; {
		d := tx.document()
		if d == nil || d.poll() == nil {
			return nil, notOffered(tx, "poll")
		}
		pause = max(pause, d.pollEvery(d.poll()))
		if err := c.wait(ctx, tx, pause); err != nil {
			return nil, err
		}
		next, err := c.post(ctx, tx, d.poll(), nil, true)
		pause = 0
		switch {
		case errors.Is(err, ErrRateLimited):
			pause = max(askedFor(err), 2*d.pollEvery(d.poll()))
		case err != nil:
			return nil, err
		case changed(tx, next):
			return next, nil
		default:
			tx = next
		}
	}
}

// wait sleeps, but not beyond the end of the transaction.
func (c *Client) wait(ctx context.Context, tx *Transaction, pause time.Duration) error {
	end := tx.ExpiresAt()
	if left := end.Sub(c.core.now()); !end.IsZero() && left < pause {
		if err := sleep(ctx, max(left, 0)); err != nil {
			return fmt.Errorf("idx: wait: %w", err)
		}
		return ErrExpired
	}
	if err := sleep(ctx, pause); err != nil {
		return fmt.Errorf("idx: wait: %w", err)
	}
	return nil
}

func askedFor(err error) time.Duration {
	var no *RejectedError
	var se *ServerError
	switch {
	case errors.As(err, &no):
		return no.RetryAfter
	case errors.As(err, &se):
		return se.RetryAfter
	}
	return 0
}

// Watch yields each change, as [Client.Wait] finds it, until there is nothing more to poll or an error came.
func (c *Client) Watch(ctx context.Context, tx *Transaction) iter.Seq2[*Transaction, error] {
	return func(yield func(*Transaction, error) bool) {
		for {
			next, err := c.Wait(ctx, tx)
			if !yield(next, err) || err != nil {
				return
			}
			if d := next.document(); d == nil || d.poll() == nil {
				return
			}
			tx = next
		}
	}
}

// changed compares what a person could see. Handles and expiry move with every answer and mean nothing.
func changed(a, b *Transaction) bool {
	if a.Status() != b.Status() {
		return true
	}
	return !bytes.Equal(face(a), face(b))
}

func face(t *Transaction) []byte {
	d := t.document()
	if d == nil {
		return nil
	}
	type step struct {
		Name          string
		Authenticator *Authenticator
	}
	var steps []step
	for _, f := range slices.Concat(d.forms, d.actions) {
		steps = append(steps, step{f.name, f.authenticator})
	}
	// What an authenticator shows may change under forms that are not related to it, such as a number to compare.
	var shown []any
	for _, member := range []string{"currentAuthenticator", "currentAuthenticatorEnrollment", "authenticatorChallenge"} {
		shown = append(shown, obj(obj(d.root[member])["value"])["contextualData"])
	}
	text, _ := json.Marshal(struct {
		Steps    []step
		Messages []Message
		Shown    []any
	}{steps, d.allMessages(), shown})
	return text
}
