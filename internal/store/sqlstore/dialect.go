package sqlstore

import "github.com/pressly/goose/v3/database"

// A Dialect is all in which one database's SQL differs from another's.
type Dialect struct {
	Migrations database.Dialect // goose's name for it
	// Hold makes transactions that name the same number ($1) take turns until they end. Empty where
	// all writing transactions take turns anyway.
	Hold string
	// Locks is whether a SELECT can hold the rows that it reads until its transaction ends. Not where all writing
	// transactions take turns anyway.
	Locks bool
	// SkipLocked ends a SELECT whose rows are about to be changed: rows in other hands are passed over.
	SkipLocked string
	// Position is the place of a transaction's $1st event (from 0) in the audit log, and Settled the
	// place below which no event can appear any more.
	Position, Settled string
	// Columns lists the columns of all tables (table, column, type), in their order, and References which table
	// refers to which.
	Columns, References string
	// Fault says what kind of failure an error of the driver is.
	Fault func(error) Fault
}

// A Fault is what a failure of the database means to the contract.
type Fault int

// The faults that the contract has a name for.
const (
	Other       Fault = iota
	Unavailable       // it may pass by itself
	Taken             // a unique key
	Orphan            // a reference to what is not there
)

// Whom a SELECT that holds its rows keeps waiting: everybody who wants to hold or change them, whoever wants to change
// them, or only whoever wants to remove them.
const (
	alone     = ` FOR UPDATE`
	unchanged = ` FOR SHARE`
	unremoved = ` FOR KEY SHARE`
)

// holding is the end of a SELECT that holds its rows.
func (d Dialect) holding(how string) string {
	if !d.Locks {
		return ""
	}
	return how
}

// texts are the statements that the dialect has a part in, put together once.
type texts struct {
	lease, record, events string
}

func (d Dialect) texts() texts {
	return texts{
		lease:  leaseMessages(d.SkipLocked),
		record: `INSERT INTO audit_events (seq, at, doc, type, user_id, client, source) VALUES (` + d.Position + `, $2, $3, $4, $5, $6, $7)`,
		events: `SELECT seq, doc FROM audit_events WHERE seq > $1 AND seq < ` + d.Settled + ` ORDER BY seq LIMIT $2`,
	}
}
