package main

import (
	"latchkey.dev/internal/authn/phone"
	"latchkey.dev/internal/config"
	"latchkey.dev/internal/deliver"
	"latchkey.dev/internal/gateway"
	"latchkey.dev/internal/limit"
	"latchkey.dev/internal/wire"
)

// messages gives the rooms that send what they need.
func messages(c config.Config, p *wire.Parts) error {
	m := c.Messages
	for _, one := range m.Gateways {
		g, err := one.Open()
		if err != nil {
			return err
		}
		p.Gateways = append(p.Gateways, g)
	}
	if m.Mail != nil {
		g, err := m.Mail.Open()
		if err != nil {
			return err
		}
		p.Mail = []gateway.Gateway{g}
	}
	p.Routes, p.Prices, p.Reports = routesOf(m.Routes), pricesOf(m), m.ReportsTo(c.Origin)
	p.Sends.Budgets = limit.Budgets{Total: m.Budgets.Total.Limit(), Country: m.Budgets.Country.Limit(), Countries: map[string]limit.Budget{}}
	for _, each := range []regioned{ofCodes, listed} {
		for _, b := range m.Budgets.Countries {
			for _, region := range each(b.Countries) {
				p.Sends.Budgets.Countries[region] = b.Budget.Limit()
			}
		}
	}
	return nil
}

func routesOf(all []config.Route) deliver.Routes {
	r := deliver.Routes{Countries: map[string][]string{}}
	for _, each := range []regioned{ofCodes, listed} {
		for _, one := range all {
			if len(one.Countries) == 0 {
				r.Default = one.Through
			}
			for _, region := range each(one.Countries) {
				r.Countries[region] = one.Through
			}
		}
	}
	return r
}

func pricesOf(m config.Messages) *deliver.Prices {
	p := &deliver.Prices{Currency: m.Currency}
	for _, each := range []regioned{listed, ofCodes, anywhere} { // the first of those that say equally much is taken
		for _, one := range m.Prices {
			for _, region := range each(one.Countries) {
				p.List = append(p.List, deliver.Price{Country: region, Gateway: one.Gateway, Amount: int64(one.Price)})
			}
		}
	}
	return p
}

// regioned says which regions a list of countries means. What is listed by itself counts for more than what has
// a calling code that is.
type regioned func(config.Countries) []string

func listed(all config.Countries) []string { return all.Regions() }

func ofCodes(all config.Countries) []string {
	var regions []string
	for _, code := range all.Codes() {
		regions = append(regions, phone.RegionsOf(code)...)
	}
	return regions
}

// anywhere is the empty region of an empty list.
func anywhere(all config.Countries) []string {
	if len(all) > 0 {
		return nil
	}
	return []string{""}
}
