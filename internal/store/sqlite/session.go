package sqlite

import (
	"context"
	"database/sql"
)

// A session is one connection and the statements prepared on it. It is in one goroutine's hands at a time.
type session struct {
	conn  *sql.Conn
	ready map[string]*sql.Stmt
}

func openSession(db *sql.DB, readOnly bool) (*session, error) {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, ready: map[string]*sql.Stmt{}}
	if readOnly {
		if err := s.do(`PRAGMA query_only = ON`); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// Exec looks at ctx before the statement and not during it. SQLite's statements are short, and to interrupt
// one may roll back the transaction around it, in which other people's work is.
func (s *session) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return 0, err
	}
	r, err := stmt.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query is like Exec.
func (s *session) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(context.Background(), args...)
}

func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if stmt, ok := s.ready[query]; ok {
		return stmt, nil
	}
	stmt, err := s.conn.PrepareContext(context.Background(), query)
	if err == nil {
		s.ready[query] = stmt
	}
	return stmt, err
}

// do runs a statement of our own, which no caller's context may keep from running.
func (s *session) do(query string) error {
	_, err := s.Exec(context.Background(), query)
	return err
}

func (s *session) close() {
	for _, stmt := range s.ready {
		stmt.Close()
	}
	s.conn.Close()
}
