//go:build linux

package main

// A promise is one line of the report, or a few that are kept or broken together.
type promise struct {
	name string
	run  func(*chaos) ([]result, error)
}

// lines are the promises, in the order in which they are told.
var lines = []promise{
	{"kill-sqlite", (*chaos).killSQLite},
	{"kill-postgres", (*chaos).killPostgres},
	{"storm", (*chaos).dyingNodes},
	{"limits", (*chaos).limitsTogether},
	{"disabled", (*chaos).disabled},
	{"failover", (*chaos).dead},
	{"silence", (*chaos).silent},
	{"disk", (*chaos).illDisk},
	{"leaving", (*chaos).leaving},
	{"handing-back", (*chaos).handingBack},
	{"capacity", (*chaos).capacity},
	{"gateway", (*chaos).illGateway},
	{"users", (*chaos).manyUsers},
	{"year", (*chaos).aYear},
}
