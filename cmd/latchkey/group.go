package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"latchkey.dev/internal/org"
)

type groupCommand struct {
	Add          groupAdd          `cmd:"" help:"Make a group."`
	List         groupList         `cmd:"" help:"List the groups."`
	Show         groupShow         `cmd:"" help:"Show a group; user list --group shows who is in it."`
	Delete       groupDelete       `cmd:"" help:"Remove a group. Its members stay."`
	AddMember    groupAddMember    `cmd:"" help:"Put a user into a group."`
	RemoveMember groupRemoveMember `cmd:"" help:"Take a user out of a group."`
}

// shownGroup is a group in JSON.
type shownGroup struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Members     int       `json:"members"`
	Created     time.Time `json:"created"`
}

func showGroup(c org.Crew) shownGroup {
	return shownGroup{string(c.Group.ID), c.Group.Name, c.Group.Description, c.Members, c.Group.Created}
}

func (m managed) group(out io.Writer, c org.Crew) error {
	return m.answer(out, showGroup(c), func(t *tabwriter.Writer) {
		line(t, "id", string(c.Group.ID))
		line(t, "name", c.Group.Name)
		line(t, "description", c.Group.Description)
		line(t, "members", fmt.Sprint(c.Members))
		line(t, "created", c.Group.Created.Format(time.RFC3339))
	})
}

type groupAdd struct {
	managed
	Name        string `arg:"" help:"What applications read in the groups claim."`
	Description string `help:"What it is for."`
}

// Run makes a group.
func (c groupAdd) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		g, err := o.AddGroup(ctx, c.Name, c.Description)
		if err != nil {
			return err
		}
		return c.group(out, g)
	})
}

type groupList struct{ managed }

// Run lists the groups.
func (c groupList) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		all, err := o.Groups(ctx)
		if err != nil {
			return err
		}
		shown := struct {
			Groups []shownGroup `json:"groups"`
		}{[]shownGroup{}}
		for _, g := range all {
			shown.Groups = append(shown.Groups, showGroup(g))
		}
		return c.answer(out, shown, func(t *tabwriter.Writer) {
			fmt.Fprintln(t, "NAME\tMEMBERS\tID\tDESCRIPTION")
			for _, g := range shown.Groups {
				fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", g.Name, g.Members, g.ID, g.Description)
			}
		})
	})
}

// grouped is a command about one group.
type grouped struct {
	managed
	Group string `arg:"" help:"Name or id."`
}

type groupShow struct{ grouped }

// Run shows a group.
func (c groupShow) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		g, err := o.Group(ctx, c.Group)
		if err != nil {
			return err
		}
		return c.group(out, g)
	})
}

type groupDelete struct{ grouped }

// Run removes a group.
func (c groupDelete) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		if err := o.DeleteGroup(ctx, c.Group); err != nil {
			return err
		}
		return c.said(out, "The group %s is deleted.", c.Group)
	})
}

type groupAddMember struct {
	grouped
	User string `arg:"" help:"Login or id."`
}

// Run puts somebody into a group.
func (c groupAddMember) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		if err := o.AddMember(ctx, c.Group, c.User); err != nil {
			return err
		}
		return c.said(out, "%s is in the group %s.", c.User, c.Group)
	})
}

type groupRemoveMember struct {
	grouped
	User string `arg:"" help:"Login or id."`
}

// Run takes somebody out of a group.
func (c groupRemoveMember) Run(ctx context.Context, out io.Writer) error {
	return c.with(ctx, func(o *org.Org) error {
		if err := o.RemoveMember(ctx, c.Group, c.User); err != nil {
			return err
		}
		return c.said(out, "%s is not in the group %s any more.", c.User, c.Group)
	})
}
