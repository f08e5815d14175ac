package limit

import "time"

// A Window is so many in so long.
type Window struct {
	Max int
	Per time.Duration
}

// Sends are the numbers of text messages (S-32 to S-35). A nil list and a zero number limit nothing.
type Sends struct {
	PerNumber           []Window // without a success in between
	PerNumberInAll      []Window
	PerAccountUnproved  []Window // to numbers not yet verified
	PerAccountNewNumber Window   // different numbers not yet verified
	PerAccountInAll     []Window
	PerAddress          []Window // of the client
	PerBlock            []Window // to numbers not yet verified that differ in their last four digits alone
	Conversion          Conversion
	Budgets             Budgets
}

// DefaultSends are the production numbers.
func DefaultSends() Sends {
	const day = 24 * time.Hour
	budget := Budget{Hour: 1000, Day: 5000}
	return Sends{
		PerNumber:           []Window{{5, 10 * time.Minute}, {10, day}},
		PerNumberInAll:      []Window{{30, day}},
		PerAccountUnproved:  []Window{{5, 10 * time.Minute}},
		PerAccountNewNumber: Window{3, day},
		PerAccountInAll:     []Window{{20, day}},
		PerAddress:          []Window{{30, time.Hour}},
		PerBlock:            []Window{{20, time.Hour}},
		Conversion:          Conversion{Last: 50, Percent: 10, Pause: time.Hour},
		Budgets:             Budgets{Total: budget, Country: budget},
	}
}

// Conversion is how many of the codes that were sent somewhere have to come back (S-34): whoever earns by
// the message has no use for the code in it.
type Conversion struct {
	Last    int           // messages looked at
	Percent int           // of them that have to be verified
	Pause   time.Duration // what follows if they are not
}

// Poor reports whether too few of the last messages were verified.
func (c Conversion) Poor(sent, verified int) bool {
	return c.Last > 0 && sent >= c.Last && verified*100 < sent*c.Percent
}

// A Budget is what may be sent in an hour and a day of the calendar in UTC, in messages and in millionths of
// the currency. Zero is no cap.
type Budget struct {
	Hour, Day         int
	HourCost, DayCost int64
}

// Budgets are what an operator allows (S-35).
type Budgets struct {
	Total     Budget
	Country   Budget            // of every country
	Countries map[string]Budget // of those that differ, by region: DE
}

// Of is the budget of one country.
func (b Budgets) Of(country string) Budget {
	if own, ok := b.Countries[country]; ok {
		return own
	}
	return b.Country
}

// A Cap is a budget in one of its windows.
type Cap struct {
	Per  time.Duration
	Max  int   // zero is no cap
	Cost int64 // likewise
}

// Caps are the windows of a budget that have a cap.
func (b Budget) Caps() []Cap {
	var caps []Cap
	for _, c := range []Cap{{24 * time.Hour, b.Day, b.DayCost}, {time.Hour, b.Hour, b.HourCost}} {
		if c.Max > 0 || c.Cost > 0 {
			caps = append(caps, c)
		}
	}
	return caps
}

// Low is the percentage of a budget at which somebody ought to know (S-35).
const Low = 80
