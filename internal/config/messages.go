package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/strict"
)

// Messages says how texts and e-mail leave the house.
type Messages struct {
	Gateways []Gateway `yaml:"gateways" doc:"Who carries text messages. Without routes all of them are asked, in this order."`
	Routes   []Route   `yaml:"routes" doc:"By which gateways texts go to some countries, in the order in which they are asked."`
	Currency string    `yaml:"currency" doc:"What prices and costs are in, for the ledger: three letters."`
	Prices   []Price   `yaml:"prices" doc:"What a text costs. Of those that fit, the one that says most is taken: country and gateway, country, gateway, neither."`
	Budgets  Budgets   `yaml:"budgets" doc:"How many texts may leave in an hour and a day of the calendar, UTC (S-35)."`
	Reports  string    `yaml:"reports" doc:"Where carriers reach us to say whether a text arrived, if not at the origin; none asks for no reports."`
	Mail     *Mail     `yaml:"mail" doc:"The mail server for notices to people. Without it none are sent."`
}

// A Country is a calling code or a region.
type Country string

var country = regexp.MustCompile(`^([1-9][0-9]{0,2}|[A-Z]{2})$`)

// Kind is what one looks like.
func (Country) Kind() string { return "a calling code like 49 or a region like JM" }

// UnmarshalText takes 49 and DE.
func (c *Country) UnmarshalText(text []byte) error {
	if !country.Match(text) {
		return errors.New("neither a calling code nor a region")
	}
	*c = Country(text)
	return nil
}

// Countries are calling codes and regions.
type Countries []Country

// Codes are the calling codes; nil if there is no list at all.
func (all Countries) Codes() []int {
	if all == nil {
		return nil
	}
	codes := []int{}
	for _, c := range all {
		if n, err := strconv.Atoi(string(c)); err == nil {
			codes = append(codes, n)
		}
	}
	return codes
}

// Regions are the regions; nil if there is no list at all.
func (all Countries) Regions() []string {
	if all == nil {
		return nil
	}
	regions := []string{}
	for _, c := range all {
		if _, err := strconv.Atoi(string(c)); err != nil {
			regions = append(regions, string(c))
		}
	}
	return regions
}

// Money is an amount, in millionths.
type Money int64

const million = 6 // digits

// Kind is what one looks like.
func (Money) Kind() string { return "an amount like 0.075" }

// UnmarshalText takes 12, 0.075.
func (m *Money) UnmarshalText(text []byte) error {
	whole, part, _ := strings.Cut(string(text), ".")
	if len(part) > million || len(whole) > 9 || whole == "" {
		return errors.New("no amount")
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", million-len(part)), 10, 63)
	*m = Money(n)
	return err
}

// MarshalText writes what UnmarshalText takes.
func (m Money) MarshalText() ([]byte, error) {
	text := fmt.Sprintf("%d.%06d", m/1e6, m%1e6)
	return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
}

// A Route is for some countries.
type Route struct {
	Countries Countries `yaml:"countries" doc:"calling codes like 49, regions like JM; without any it is for all that have none of their own"`
	Through   []string  `yaml:"through" doc:"names of gateways, in the order in which they are asked"`
}

// A Price is for some countries and one gateway.
type Price struct {
	Countries Countries `yaml:"countries" doc:"calling codes or regions; without any it is for all"`
	Gateway   string    `yaml:"gateway" doc:"of one gateway; without it of all"`
	Price     Money     `yaml:"price" doc:"of one text, like 0.075"`
}

// A Budget is what may leave in an hour and a day.
type Budget struct {
	Hour     int   `yaml:"hour" doc:"texts in an hour"`
	Day      int   `yaml:"day" doc:"texts in a day"`
	HourCost Money `yaml:"hour_cost" doc:"what those of an hour may cost; 0 is no cap"`
	DayCost  Money `yaml:"day_cost" doc:"what those of a day may cost; 0 is no cap"`
}

// CountryBudget is for each of some countries.
type CountryBudget struct {
	Countries Countries `yaml:"countries" doc:"calling codes or regions"`
	Budget    Budget    `yaml:"budget" doc:"of each of their regions"`
}

// Budgets are in total and for each country.
type Budgets struct {
	Total     Budget          `yaml:"total" doc:"all countries together"`
	Country   Budget          `yaml:"country" doc:"each country"`
	Countries []CountryBudget `yaml:"countries" doc:"countries that differ"`
}

func defaultMessages() Messages {
	d := limit.DefaultSends().Budgets
	return Messages{Currency: "EUR", Budgets: Budgets{Total: budgetOf(d.Total), Country: budgetOf(d.Country)}}
}

func budgetOf(b limit.Budget) Budget {
	return Budget{Hour: b.Hour, Day: b.Day, HourCost: Money(b.HourCost), DayCost: Money(b.DayCost)}
}

// Limit is the budget as the limits have it.
func (b Budget) Limit() limit.Budget {
	return limit.Budget{Hour: b.Hour, Day: b.Day, HourCost: int64(b.HourCost), DayCost: int64(b.DayCost)}
}

// noReports is the word for asking for none.
const noReports = "none"

// ReportsTo is where carriers may report; empty for nowhere.
func (m Messages) ReportsTo(origin string) string {
	switch m.Reports {
	case noReports:
		return ""
	case "":
		return origin
	}
	return m.Reports
}

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func (m Messages) check(p *strict.Problems) {
	names := map[string]bool{}
	for i, g := range m.Gateways {
		at := fmt.Sprintf("messages.gateways[%d]", i)
		switch {
		case !name.MatchString(g.Name):
			p.At(at+".name", "%q is no name of up to 32 small letters, digits, - and _", g.Name)
		case names[g.Name]:
			p.At(at+".name", "there are two gateways %q", g.Name)
		}
		names[g.Name] = true
		g.check(p, at)
	}
	through := func(at string, all ...string) {
		for i, n := range all {
			if !names[n] {
				p.At(at, "there is no gateway %q", n)
			} else if slices.Contains(all[:i], n) {
				p.At(at, "names %q twice", n)
			}
		}
	}
	defaults := 0
	routed := map[Country]bool{}
	for i, r := range m.Routes {
		at := fmt.Sprintf("messages.routes[%d]", i)
		through(at+".through", r.Through...)
		if len(r.Through) == 0 {
			p.At(at+".through", "names no gateway; to send nothing to a country, leave it out of countries")
		}
		if len(r.Countries) == 0 {
			defaults++
		}
		for _, c := range r.Countries {
			if routed[c] {
				p.At(at+".countries", "there are two routes for %s", c)
			}
			routed[c] = true
		}
	}
	if defaults > 1 {
		p.At("messages.routes", "two routes are for all countries that have none of their own")
	}
	if len(m.Currency) != 3 || strings.ToUpper(m.Currency) != m.Currency {
		p.At("messages.currency", "%q is not three capital letters", m.Currency)
	}
	for i, one := range m.Prices {
		if one.Gateway != "" {
			through(fmt.Sprintf("messages.prices[%d].gateway", i), one.Gateway)
		}
	}
	m.Budgets.Total.check(p, "messages.budgets.total")
	m.Budgets.Country.check(p, "messages.budgets.country")
	for i, b := range m.Budgets.Countries {
		b.Budget.check(p, fmt.Sprintf("messages.budgets.countries[%d].budget", i))
		if len(b.Countries) == 0 {
			p.At(fmt.Sprintf("messages.budgets.countries[%d].countries", i), "says no country")
		}
	}
	if m.Reports != "" && m.Reports != noReports {
		if u, err := url.Parse(m.Reports); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery+u.Fragment != "" {
			p.At("messages.reports", "%q is not like https://id.example", m.Reports)
		}
	}
	if m.Mail != nil {
		m.Mail.check(p)
	}
}

// check refuses budgets without an end: nobody is to find out from the bill (S-35).
func (b Budget) check(p *strict.Problems, at string) {
	if b.Hour < 1 || b.Day < 1 {
		p.At(at, "say how many texts may leave in an hour and in a day; to send none, leave the country out of countries (S-35)")
	}
}
