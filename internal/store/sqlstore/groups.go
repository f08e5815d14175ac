package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/store"
)

const groupColumns = `id, name, description, created`

func (t *tx) AddGroup(ctx context.Context, g ident.Group) error {
	a, err := groupArgs(g)
	if err != nil {
		return err
	}
	return added(t.exec(ctx, `INSERT INTO user_groups (`+groupColumns+`, folded) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, a))
}

func (t *tx) PutGroup(ctx context.Context, g ident.Group) error {
	a, err := groupArgs(g)
	if err != nil {
		return err
	}
	return present(t.exec(ctx, `UPDATE user_groups SET name = $2, description = $3, created = $4, folded = $5 WHERE id = $1`, a))
}

func groupArgs(g ident.Group) (args, error) {
	folded, ok := ident.FoldGroup(g.Name)
	if !ok {
		return nil, fmt.Errorf("sqlstore: group %s: a name that cannot be folded", g.ID)
	}
	return args{string(g.ID), g.Name, g.Description, micros(g.Created), folded}, nil
}

func groupInto(g *ident.Group) []any {
	return []any{(*string)(&g.ID), &g.Name, &g.Description, timeInto{&g.Created}}
}

func (t *tx) GroupByName(ctx context.Context, folded string) (ident.Group, error) {
	var g ident.Group
	err := t.one(ctx, `SELECT `+groupColumns+` FROM user_groups WHERE folded = $1`, args{folded}, groupInto(&g)...)
	return g, err
}

func (t *tx) Groups(ctx context.Context) ([]ident.Group, error) {
	return t.groups(ctx, `SELECT `+groupColumns+` FROM user_groups`, nil)
}

func (t *tx) GroupsOf(ctx context.Context, u ident.UserID) ([]ident.Group, error) {
	return t.groups(ctx, `SELECT `+groupColumns+` FROM user_groups WHERE id IN (SELECT group_id FROM members WHERE user_id = $1)`, args{string(u)})
}

func (t *tx) groups(ctx context.Context, query string, a args) ([]ident.Group, error) {
	var all []ident.Group
	err := t.each(ctx, query, a, func(rows *sql.Rows) error {
		var g ident.Group
		err := rows.Scan(groupInto(&g)...)
		all = append(all, g)
		return err
	})
	if errors.Is(err, errText) {
		return nil, nil
	}
	// Sorted here, because databases follow their own locale.
	slices.SortFunc(all, func(a, b ident.Group) int { return cmp.Compare(a.Name, b.Name) })
	return all, err
}

func (t *tx) CountMembers(ctx context.Context, g ident.GroupID) (n int, err error) {
	err = t.one(ctx, `SELECT count(*) FROM members WHERE group_id = $1`, args{string(g)}, &n)
	return n, err
}

func (t *tx) DropGroup(ctx context.Context, g ident.GroupID) error {
	return present(t.exec(ctx, `DELETE FROM user_groups WHERE id = $1`, args{string(g)}))
}

func (t *tx) AddMember(ctx context.Context, g ident.GroupID, u ident.UserID) error {
	return added(t.exec(ctx, `INSERT INTO members (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, args{string(g), string(u)}))
}

func (t *tx) DropMember(ctx context.Context, g ident.GroupID, u ident.UserID) error {
	return present(t.exec(ctx, `DELETE FROM members WHERE group_id = $1 AND user_id = $2`, args{string(g), string(u)}))
}

// crowd is how many rows one statement adds: enough to save most of the round trips, few enough for SQLite, which
// looks for each parameter's name among all of them.
const crowd = 40

// AddPeople asks the database which of the users it took: what is theirs follows them, and nobody else's.
func (t *tx) AddPeople(ctx context.Context, all []store.Person) (taken []int, err error) {
	place := make(map[ident.UserID]int, len(all))
	var users, enrollments, members rowsOf
	for i, p := range all {
		if _, twice := place[p.User.ID]; twice {
			taken = append(taken, i)
			continue
		}
		a, err := userArgs(p.User)
		if err != nil {
			return nil, err
		}
		place[p.User.ID] = i
		users.add(a)
	}
	here := make([]bool, len(all))
	err = users.each(`INSERT INTO users (`+userColumns+`, folded) VALUES `, ` ON CONFLICT DO NOTHING RETURNING id`, func(query string, a args) error {
		return t.each(ctx, query, a, func(rows *sql.Rows) error {
			var id ident.UserID
			err := rows.Scan((*string)(&id))
			here[place[id]] = true
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	for i, p := range all {
		if !here[i] {
			if place[p.User.ID] == i {
				taken = append(taken, i)
			}
			continue
		}
		for n, e := range p.Enrollments {
			enrollments.add(args{string(e.ID), string(p.User.ID), string(e.Authenticator), string(e.Kind), string(e.Method),
				t.seal(enrollmentSecret, string(e.ID), []byte(e.Secret)), e.Hint, micros(e.Created), int64(n) + 1})
		}
		for _, g := range p.Groups {
			members.add(args{string(g), string(p.User.ID)})
		}
	}
	slices.Sort(taken)
	run := func(query string, a args) error { _, err := t.exec(ctx, query, a); return err }
	err = enrollments.each(`INSERT INTO enrollments (id, user_id, authenticator, kind, method, secret, hint, created, position) VALUES `, ``, run)
	if err != nil {
		return nil, err
	}
	return taken, members.each(`INSERT INTO members (group_id, user_id) VALUES `, ``, run)
}

// rowsOf are the values of many rows of one table.
type rowsOf []args

func (r *rowsOf) add(a args) { *r = append(*r, a) }

// each runs a statement for every crowd of rows.
func (r rowsOf) each(before, after string, run func(query string, a args) error) error {
	for some := range slices.Chunk(r, crowd) {
		var b strings.Builder
		var all args
		b.WriteString(before)
		for i, a := range some {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('(')
			for j := range a {
				if j > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "$%d", len(all)+j+1)
			}
			b.WriteByte(')')
			all = append(all, a...)
		}
		b.WriteString(after)
		if err := run(b.String(), all); err != nil {
			return err
		}
	}
	return nil
}
