package config

import "latchkey.dev/internal/strict"

// Database says where everything is kept: one of the two.
type Database struct {
	Migrate  Migrate   `yaml:"migrate" doc:"When a schema that is older than the program is brought up to date. start: when a server starts. command: by latchkey migrate, and until then no server starts. By default start for SQLite, command for PostgreSQL. An empty database gets its schema in any case."`
	SQLite   *SQLite   `yaml:"sqlite" doc:"A file in the data directory, for one process. This is the default."`
	Postgres *Postgres `yaml:"postgres" doc:"PostgreSQL, for any number of processes."`
}

// Migrate says when a database is migrated (S-84).
type Migrate string

// The times: at the start of a server, or when an operator says so.
const (
	MigrateAtStart   Migrate = "start"
	MigrateByCommand Migrate = "command"
)

// MigratesAtStart decides. One process that is replaced takes its file along. Where several share a database its
// owner chooses the hour: the first new server would choose it for the others, which are of the version before.
func (d Database) MigratesAtStart() bool {
	if d.Migrate == "" {
		return d.Postgres == nil
	}
	return d.Migrate == MigrateAtStart
}

// SQLite has nothing to set: the file is in the data directory.
type SQLite struct{}

// Postgres is a PostgreSQL database.
type Postgres struct {
	URL         Secret `yaml:"url" doc:"postgres://user:password@host:5432/database?sslmode=verify-full; several hosts with target_session_attrs=read-write follow a failover."`
	Connections int    `yaml:"connections" doc:"How many connections this process opens at most."`
}

func defaultDatabase() Database { return Database{} }

func (d Database) check(p *strict.Problems) {
	if d.Migrate != "" && d.Migrate != MigrateAtStart && d.Migrate != MigrateByCommand {
		p.At("database.migrate", "%q is neither start nor command", d.Migrate)
	}
	switch {
	case d.SQLite != nil && d.Postgres != nil:
		p.At("database", "sqlite or postgres, not both")
	case d.Postgres != nil && !d.Postgres.URL.Given():
		p.At("database.postgres.url", "say which database, as a file or a variable that holds its URL: there is a password in it")
	case d.Postgres != nil && (d.Postgres.Connections < 0 || d.Postgres.Connections > 1000):
		p.At("database.postgres.connections", "%d is not between 1 and 1000, nor 0 for the default of 32", d.Postgres.Connections)
	}
}
