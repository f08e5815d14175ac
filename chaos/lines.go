//go:build linux

package main

// lines are the promises, in the order in which they are told.
var lines = []struct {
	name string
	run  func(*chaos) ([]result, error)
}{
	{"kill-sqlite", (*chaos).killSQLite},
	{"kill-postgres", (*chaos).killPostgres},
	{"storm", (*chaos).dyingNodes},
	{"limits", (*chaos).limitsTogether},
	{"disabled", (*chaos).disabled},
	{"failover", (*chaos).failover},
	{"disk", (*chaos).illDisk},
	{"leaving", (*chaos).leaving},
	{"handing-back", (*chaos).handingBack},
}
