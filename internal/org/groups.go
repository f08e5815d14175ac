package org

import (
	"context"

	"latchkey.dev/internal/audit"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/store"
)

// A Crew is a group with how many are in it.
type Crew struct {
	Group   ident.Group
	Members int
}

func crew(ctx context.Context, tx store.Tx, g ident.Group) (Crew, error) {
	n, err := tx.CountMembers(ctx, g.ID)
	return Crew{g, n}, err
}

// Groups lists the groups by name.
func (o *Org) Groups(ctx context.Context) (all []Crew, err error) {
	err = o.Store.View(ctx, func(tx store.Tx) error {
		all = nil
		groups, err := tx.Groups(ctx)
		for _, g := range groups {
			c, err := crew(ctx, tx, g)
			if err != nil {
				return err
			}
			all = append(all, c)
		}
		return err
	})
	return all, err
}

// Group finds a group by name or by id.
func (o *Org) Group(ctx context.Context, name string) (c Crew, err error) {
	err = o.Store.View(ctx, func(tx store.Tx) error {
		g, err := findGroup(ctx, tx, name)
		if err != nil {
			return err
		}
		c, err = crew(ctx, tx, g)
		return err
	})
	return c, err
}

// AddGroup makes a group.
func (o *Org) AddGroup(ctx context.Context, name, description string) (Crew, error) {
	if err := (Group{Name: name, Description: description}).check().err(); err != nil {
		return Crew{}, err
	}
	g := ident.Group{ID: ident.GroupID(ident.NewID("00g")), Name: name, Description: description, Created: o.Now().UTC()}
	err := o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		if err := tx.AddGroup(ctx, g); err != nil {
			return nil, because(err, store.ErrExists, "there is a group %q already", name)
		}
		return o.one(ctx, audit.GroupCreated, audit.Event{Target: "group " + name}), nil
	})
	return Crew{Group: g}, err
}

// DeleteGroup removes a group; its members stay.
func (o *Org) DeleteGroup(ctx context.Context, name string) error {
	return o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		g, err := findGroup(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		return o.one(ctx, audit.GroupDeleted, audit.Event{Target: "group " + g.Name}), tx.DropGroup(ctx, g.ID)
	})
}

// AddMember puts somebody into a group.
func (o *Org) AddMember(ctx context.Context, group, user string) error {
	return o.member(ctx, group, user, audit.MemberAdded, func(tx store.Tx, g ident.Group, u ident.User) error {
		return because(tx.AddMember(ctx, g.ID, u.ID), store.ErrExists, "%s is in the group %s already", u.Login, g.Name)
	})
}

// RemoveMember takes somebody out of a group.
func (o *Org) RemoveMember(ctx context.Context, group, user string) error {
	return o.member(ctx, group, user, audit.MemberRemoved, func(tx store.Tx, g ident.Group, u ident.User) error {
		return because(tx.DropMember(ctx, g.ID, u.ID), store.ErrNotFound, "%s is not in the group %s", u.Login, g.Name)
	})
}

func (o *Org) member(ctx context.Context, group, user string, t audit.Type, f func(store.Tx, ident.Group, ident.User) error) error {
	return o.update(ctx, func(tx store.Tx) ([]audit.Event, error) {
		g, err := findGroup(ctx, tx, group)
		if err != nil {
			return nil, err
		}
		u, err := findUser(ctx, tx, user)
		if err != nil {
			return nil, noUser(err, user)
		}
		return o.one(ctx, t, audit.Event{User: string(u.ID), Target: "group " + g.Name}), f(tx, g, u)
	})
}
