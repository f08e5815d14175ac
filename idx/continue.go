package idx

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
)

// Continue is the easy path: friendly names, and as many steps as the answers cover. Every step it submits serves an
// answer not used yet, at most two steps per answer. If none fits it returns an [InputError] and sends nothing;
// what is left over is in [Transaction.Unused].
func (c *Client) Continue(ctx context.Context, tx *Transaction, a Answers) (*Transaction, error) {
	tx, err := c.open(ctx, tx)
	if err != nil {
		return nil, err
	}
	return c.apply(ctx, tx, a.flat())
}

// apply submits steps until no answer serves one.
func (c *Client) apply(ctx context.Context, tx *Transaction, answers map[answerName]any) (*Transaction, error) {
	p := &progress{open: answers, led: map[answerName]bool{}}
	if len(p.open) == 0 {
		return nil, &InputError{Transaction: tx, Reason: "there is no answer to send"}
	}
	for steps := 0; ; steps++ {
		d := tx.document()
		if d == nil || len(p.open) == 0 {
			return p.leave(tx, steps)
		}
		m, why := p.match(d)
		if m == nil {
			if steps == 0 {
				why.Transaction = tx
				return nil, why
			}
			return p.leave(tx, steps)
		}
		for _, name := range m.used {
			delete(p.open, name)
		}
		if m.leads != "" {
			p.led[m.leads] = true
		}
		passed := tx.Messages()
		if steps == 0 {
			passed = nil // the person has seen these already
		}
		next, err := c.post(ctx, tx, m.form, m.values, false)
		if err != nil {
			if steps > 0 {
				err = afterSteps(err)
			}
			return nil, p.note(err)
		}
		tx = next.with(func(s *snapshot) { s.carried = passed })
	}
}

// progress is what one Continue has left to do.
type progress struct {
	open map[answerName]any
	// led are answers for which an authenticator was selected first. It happens once per answer, so that a Continue
	// ends after two steps per answer at most.
	led map[answerName]bool
}

// leave ends a Continue. If not a single step was possible the answers have nowhere to go.
func (p *progress) leave(tx *Transaction, steps int) (*Transaction, error) {
	if steps == 0 {
		return nil, &InputError{Transaction: tx, Reason: "nothing is asked: the transaction is " + string(tx.Status()), cause: ErrNotOffered}
	}
	left := names(p.open)
	return tx.with(func(s *snapshot) { s.unused = left }), nil
}

// note tells the transaction of a refusal which answers were not reached.
func (p *progress) note(err error) error {
	var no *RejectedError
	if errors.As(err, &no) {
		left := names(p.open)
		no.Transaction = no.Transaction.with(func(s *snapshot) { s.unused = left })
	}
	return err
}

// A match is a form and how the answers fill it.
type match struct {
	form    *form
	values  Values
	used    []answerName
	leads   answerName // the answer that this step only leads to
	missing string     // path of a required input that no answer fills
	why     *formError
}

// match finds the first form that can be filled and serves an answer.
func (p *progress) match(d *document) (*match, *InputError) {
	var near *match
	for _, f := range slices.Concat(d.forms, d.actions) {
		if f.redirect || f.action {
			continue
		}
		m := p.try(f)
		switch {
		case m.why == nil && m.missing == "" && (len(m.used) > 0 || m.leads != ""):
			return m, nil
		case near == nil, near.why == nil && m.why != nil, near.why == nil && len(near.used) == 0 && len(m.used) > 0:
			near = m
		}
	}
	switch {
	case near == nil:
		return nil, &InputError{Reason: "no step on offer takes answers", cause: ErrNotOffered}
	case near.why != nil:
		return nil, &InputError{Step: near.form.name, Path: near.why.path, Reason: near.why.reason, cause: near.why.cause}
	case len(near.used) > 0:
		return nil, &InputError{Step: near.form.name, Path: near.missing, Reason: "it is required, and no answer fills it"}
	}
	return nil, &InputError{Step: d.forms[0].name, Reason: "no step on offer takes any of the answers " + strings.Join(names(p.open), ", ")}
}

// try fills f as far as it goes.
func (p *progress) try(f *form) *match {
	m := &match{form: f, values: Values{}}
	if a := f.authenticator; a != nil {
		if want, ok := p.open[whichOne].(string); ok {
			if a.is(want) >= 0 {
				m.used = append(m.used, whichOne)
			} else if !a.isPassword() {
				// The answers are for another authenticator: a code must not be tried on this one.
				return m
			}
		}
	}
	p.extras(f, m)
	p.fill(f, f.fields, "", m)
	return m
}

// extras go wherever the form has their name; they win over friendly ones.
func (p *progress) extras(f *form, m *match) {
	for _, name := range slices.Sorted(maps.Keys(p.open)) {
		path, ok := strings.CutPrefix(string(name), extraPrefix)
		if ok && reaches(f.fields, path) {
			m.values[path] = p.open[name]
			m.used = append(m.used, name)
		}
	}
}

// reaches tells whether path names an input of the form that can be filled.
func reaches(fields []*field, path string) bool {
	f, rest := locate(fields, path)
	switch {
	case f == nil || f.fixed:
		return false
	case rest == "":
		return f.fields == nil && !f.choosesForm()
	case f.choosesForm():
		return slices.ContainsFunc(f.options, func(o *option) bool {
			inner, _ := locate(o.fields, rest)
			return inner != nil
		})
	}
	return reaches(f.fields, rest)
}

// fill walks the inputs. It reports whether anything below path was filled by an answer.
func (p *progress) fill(f *form, fields []*field, path string, m *match) bool {
	any := false
	for _, in := range fields {
		at := join(path, in.name)
		switch {
		case in.fixed:
		case in.choosesForm():
			any = p.pick(f, in, at, m) || any
		case in.fields != nil:
			filled := p.fill(f, in.fields, at, m)
			if in.required && !filled && !m.has(at) && !defaulted(in.fields) {
				m.lacks(firstOpen(in.fields, at))
			}
			any = filled || any
		default:
			any = p.leaf(f, in, at, m) || any
		}
	}
	return any
}

func (m *match) lacks(path string) {
	if m.missing == "" {
		m.missing = path
	}
}

// has tells whether a value was given at path or below it.
func (m *match) has(path string) bool {
	for name := range m.values {
		if name == path || strings.HasPrefix(name, path+".") {
			return true
		}
	}
	return false
}

// defaulted tells whether a group sends something even if nobody fills it.
func defaulted(fields []*field) bool {
	return slices.ContainsFunc(fields, func(f *field) bool { return f.value != nil })
}

func firstOpen(fields []*field, path string) string {
	for _, f := range fields {
		if !f.fixed && !f.hidden {
			return join(path, f.name)
		}
	}
	return path
}

func (p *progress) leaf(f *form, in *field, path string, m *match) bool {
	if m.has(path) {
		return true
	}
	for _, name := range f.answerFor(path) {
		v, ok := p.open[name]
		if !ok || slices.Contains(m.used, name) {
			continue
		}
		if len(in.options) > 0 && !slices.ContainsFunc(in.options, func(o *option) bool { return same(o.value, v) }) {
			if m.why == nil {
				m.why = badInput(path, "the engine does not offer what "+string(name)+" asks for", ErrNotOffered)
			}
			return false
		}
		m.values[path], m.used = v, append(m.used, name)
		return true
	}
	switch {
	case in.value != nil || !in.required:
	case len(in.options) == 1:
		// Where there is one option there is nothing to choose; where there are two, it is the person's choice.
		m.values[path] = in.options[0].value
	default:
		m.lacks(path)
	}
	return false
}

// pick chooses among options with forms: an authenticator, or one of two kinds of security question.
func (p *progress) pick(f *form, in *field, path string, m *match) bool {
	if _, picked := p.open[whichOne]; m.has(path) && !picked {
		return true // spelled out by wire names
	}
	o, leads, why := p.option(f, in)
	switch {
	case why != nil:
		why.path = path
		m.why = why
		return false
	case o == nil:
		m.lacks(path) // lists are not marked required, but a form that is a choice says nothing without one
		return false
	}
	for _, inner := range o.fields {
		if inner.fixed {
			m.values[join(path, inner.name)] = inner.value
		}
	}
	before := len(m.used)
	if want, ok := p.open[whichOne].(string); ok && o.authenticator.is(want) >= 0 {
		m.used = append(m.used, whichOne)
	}
	if want, ok := p.open[method]; ok && same(fixedValue(o.fields, "methodType"), want) {
		m.used = append(m.used, method)
	}
	m.leads = leads
	p.fill(f, o.fields, path, m)
	return len(m.used) > before || leads != ""
}

// option finds the one option that the answers mean; nil if they mean none.
func (p *progress) option(f *form, in *field) (o *option, leads answerName, why *formError) {
	only := func(fits func(*option) bool) (*option, int) {
		var hit *option
		n := 0
		for _, o := range in.options {
			if o.authenticator != nil && fits(o) {
				hit, n = o, n+1
			}
		}
		return hit, n
	}
	// A password at hand is proved first: that needs nothing more from the person, and any other authenticator does.
	for _, name := range []answerName{password, newPassword} {
		if name == newPassword && f.name != "select-authenticator-enroll" {
			continue // a new password proves nothing
		}
		if _, ok := p.open[name]; ok && !p.led[name] {
			if o, n := only(func(o *option) bool { return o.authenticator.isPassword() }); n == 1 {
				return o, name, nil
			}
		}
	}
	if want, ok := p.open[whichOne].(string); ok {
		for level := range 4 {
			switch o, n := only(func(o *option) bool { return o.authenticator.is(want) == level }); {
			case n == 1:
				return o, "", nil
			case n > 1:
				return nil, "", badInput("", "more than one authenticator fits: name it by its enrollment id", ErrAmbiguous)
			}
		}
		return nil, "", badInput("", "no authenticator on offer fits", ErrNotOffered)
	}
	// Nobody picked one. What else was answered may still leave no doubt.
	if _, ok := p.open[phoneNumber]; ok {
		if o, n := only(func(o *option) bool { return find(o.fields, "phoneNumber") != nil }); n == 1 {
			return o, "", nil
		}
	}
	if want, ok := p.open[method]; ok {
		if o, n := only(func(o *option) bool { return o.offers(want) }); n == 1 {
			return o, "", nil
		}
	}
	return nil, "", nil
}

func (o *option) offers(want any) bool {
	in := find(o.fields, "methodType")
	switch {
	case in == nil:
		return false
	case in.fixed:
		return same(in.value, want)
	}
	return slices.ContainsFunc(in.options, func(c *option) bool { return same(c.value, want) })
}
