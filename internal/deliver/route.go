package deliver

import (
	"cmp"
	"slices"
	"time"

	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/store"
)

// Routes say by which gateways messages go, in the order in which they are asked.
type Routes struct {
	Countries map[string][]string // names of gateways, by region: DE
	Default   []string            // for all others; nil is every gateway, as configured
}

// route returns the lanes of a message's channel and country.
func (w *Worker) route(channel, country string) []*lane {
	if channel == email {
		return w.mail
	}
	names, ok := w.Routes.Countries[country]
	if !ok {
		names = w.Routes.Default
	}
	if !ok && names == nil {
		return w.lanes
	}
	var lanes []*lane
	for _, name := range names {
		if l := w.lane(name); l != nil {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// Route is by which gateways texts go to a country, in the order in which they are asked.
func (w *Worker) Route(country string) []gateway.Gateway {
	var all []gateway.Gateway
	for _, l := range w.route(sms, country) {
		all = append(all, l.Gateway)
	}
	return all
}

func (w *Worker) lane(name string) *lane {
	for _, l := range slices.Concat(w.lanes, w.mail) {
		if l.Name() == name {
			return l
		}
	}
	return nil
}

// order is whom to ask for a message, and in which order: as configured, but last those whose texts do not
// arrive lately, and the one by which a text went that nobody answered.
func (w *Worker) order(m store.Message, t tries) []*lane {
	var lanes []*lane
	for _, l := range w.route(m.Channel, m.Country) {
		if t.left(l.Name()) {
			lanes = append(lanes, l)
		}
	}
	now := time.Now()
	doubt := func(l *lane) int {
		switch {
		case l.Name() == m.Avoid:
			return 2
		case l.arrival.open(now):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(lanes, func(a, b *lane) int { return cmp.Compare(doubt(a), doubt(b)) })
	return lanes
}

// A Price is what a message costs, in millionths of the currency. What is empty is any.
type Price struct {
	Country, Gateway string
	Amount           int64
}

// Prices are what messages cost.
type Prices struct {
	Currency string
	List     []Price
}

// of is the most special price there is: of country and gateway, of the country, of the gateway, of all.
func (p *Prices) of(country, gateway string) int64 {
	best, found := int64(0), -1
	for _, one := range p.List {
		if one.Country != "" && one.Country != country || one.Gateway != "" && one.Gateway != gateway {
			continue
		}
		special := 0
		if one.Country != "" {
			special += 2
		}
		if one.Gateway != "" {
			special++
		}
		if special > found {
			best, found = one.Amount, special
		}
	}
	return best
}

// Price is what a text to a country costs at most, by whichever route it goes.
func (w *Worker) Price(country string) int64 {
	if w.Prices == nil {
		return 0
	}
	most := int64(0)
	for _, l := range w.route(sms, country) {
		most = max(most, w.Prices.of(country, l.Name()))
	}
	return most
}

// charge is the line of the ledger for a message by a lane. An e-mail costs nothing.
func (w *Worker) charge(m store.Message, l gateway.Gateway, sure bool) store.Charge {
	c := store.Charge{Message: m.ID, Gateway: l.Name(), Country: m.Country, At: w.Now(), Sure: sure, Send: m.Send, Proved: m.Proved}
	if w.Prices != nil {
		c.Price, c.Currency = w.Prices.of(m.Country, l.Name()), w.Prices.Currency
	}
	return c
}
