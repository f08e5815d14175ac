package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"latchkey.dev/internal/store"
	"latchkey.dev/internal/store/sqlstore"
)

// fault judges by SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html, and takes what is
// no answer of the server for a lost connection.
func fault(err error) sqlstore.Fault {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return connection(err)
	}
	switch e.Code {
	case "23505":
		return sqlstore.Taken
	case "23503":
		return sqlstore.Orphan
	case "25006", // read only: this server is no longer the primary
		"25P03", // the transaction was left alone for too long
		"55P03", // a lock was not to be had in time
		"57014": // a statement took too long
		return sqlstore.Unavailable
	}
	switch e.Code[:min(2, len(e.Code))] {
	case "08", "40", "53", "57", "58": // connection, conflict, resources (disk, memory, connections), shutting down, I/O
		return sqlstore.Unavailable
	}
	return sqlstore.Other
}

func connection(err error) sqlstore.Fault {
	var refused *pgconn.ConnectError
	if errors.As(err, &refused) || errors.Is(err, store.ErrUnavailable) {
		return sqlstore.Unavailable
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return sqlstore.Other // the caller gave up
	}
	var network net.Error
	switch {
	case errors.As(err, &network), pgconn.SafeToRetry(err),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone):
		return sqlstore.Unavailable
	}
	return sqlstore.Other
}
