package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// A table is one of ours as the database describes it.
type table struct {
	name    string
	columns []field
	refers  []string // tables that must be filled before
}

// A field is a column: its name, and what is in it.
type field struct {
	Name string `json:"name"`
	Type kind   `json:"type"`
}

// A kind is what our columns hold, whatever a database calls it.
type kind string

const (
	isText  kind = "text"
	isInt   kind = "int"
	isBool  kind = "bool"
	isBytes kind = "bytes"
)

// kinds are the names of databases for them.
var kinds = map[string]kind{
	"text": isText, "bigint": isInt, "integer": isInt, "boolean": isBool, "bytea": isBytes,
}

var creates = regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)

// ours are the names of all tables that the migrations make. A database may hold other people's, too.
func ours() (names []string, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	for _, name := range files {
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			return nil, err
		}
		for _, m := range creates.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names, err
}

// catalog describes our tables that are there, in an order in which they can be filled: first those that others
// refer to.
func catalog(ctx context.Context, q Querier, d Dialect) ([]table, error) {
	names, err := ours()
	if err != nil {
		return nil, err
	}
	byName := map[string]*table{}
	err = pairs(ctx, q, d.Columns, 3, func(v []string) error {
		if !slices.Contains(names, v[0]) {
			return nil
		}
		k, ok := kinds[strings.ToLower(v[2])]
		if !ok {
			return fmt.Errorf("sqlstore: %s.%s is a %s, which a backup does not know", v[0], v[1], v[2])
		}
		if byName[v[0]] == nil {
			byName[v[0]] = &table{name: v[0]}
		}
		byName[v[0]].columns = append(byName[v[0]].columns, field{v[1], k})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = pairs(ctx, q, d.References, 2, func(v []string) error {
		if t := byName[v[0]]; t != nil && v[0] != v[1] && !slices.Contains(t.refers, v[1]) {
			t.refers = append(t.refers, v[1])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ordered(byName)
}

// ordered puts tables behind those that they refer to, and else by name.
func ordered(byName map[string]*table) ([]table, error) {
	var left, done []table
	for _, t := range byName {
		left = append(left, *t)
	}
	slices.SortFunc(left, func(a, b table) int { return cmp.Compare(a.name, b.name) })
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(t table) bool {
			return !slices.ContainsFunc(t.refers, func(r string) bool {
				return slices.ContainsFunc(left, func(o table) bool { return o.name == r })
			})
		})
		if i < 0 {
			return nil, fmt.Errorf("sqlstore: the tables from %s on refer to each other in a circle", left[0].name)
		}
		done = append(done, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return done, nil
}

// pairs calls f with every row of a statement whose columns are all text.
func pairs(ctx context.Context, q Querier, query string, n int, f func([]string) error) error {
	rows, err := q.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	return scanAll(rows, n, f)
}

func scanAll(rows *sql.Rows, n int, f func([]string) error) error {
	values, dest := make([]string, n), make([]any, n)
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := f(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (t table) names() string {
	var all []string
	for _, c := range t.columns {
		all = append(all, c.Name)
	}
	return strings.Join(all, ", ")
}
