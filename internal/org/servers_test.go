package org_test

import (
	"strings"
	"testing"

	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/org"
	"latchkey.dev/internal/store"
)

const partners = `
servers:
  - id: partners
    claims:
      - {name: tenant, in: [access, id], text: acme}
      - {name: roles, in: [access], scope: profile, user: groups}
    rules:
      - {apps: [portal-client], grant_types: [interaction_code], scopes: [openid, profile]}
`

const portal = `
apps:
  - {id: portal-client, name: Portal, type: public, redirect_uris: [https://portal.example/callback], policy: {require: [password]}}
`

func TestServersSayClaimsAndRules(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		_, err := o.Apply(ctx, read(t, "org.yaml", partners), org.How{})
		if err == nil || !strings.Contains(err.Error(), `servers[0].rules[0].apps[0]: there is no app with the id "portal-client"`) {
			t.Errorf("a rule about nobody: %v", err)
		}
		apply(t, o, partners+portal, org.How{})
		var got oauth.Server
		must(t, o.Store.View(ctx, func(tx store.Tx) (err error) { got, err = tx.Server(ctx, "partners"); return err }))
		if len(got.Claims) != 2 || got.Claims[1].User != oauth.UserGroups || got.Claims[1].Scope != "profile" ||
			len(got.Rules) != 1 || got.Rules[0].Apps[0] != "portal-client" || len(got.Rules[0].Scopes) != 2 {
			t.Errorf("%+v", got)
		}
		for name, text := range map[string]string{"what was applied": partners, "what was exported": export(t, o)} {
			if again := apply(t, o, text, org.How{}); len(again.Changes) != 0 {
				t.Errorf("%s, applied again:\n%s", name, again)
			}
		}
		changed := apply(t, o, strings.Replace(partners, "acme", "bolt", 1), org.How{DryRun: true})
		if len(changed.Changes) != 1 || !strings.Contains(changed.String(), `+ tenant in [access id] = "bolt"`) {
			t.Errorf("a claim that changes:\n%s", changed)
		}
		// An app that a rule names cannot be pruned from under it.
		other := strings.ReplaceAll(portal, "portal-client", "other-client")
		if _, err := o.Apply(ctx, read(t, "org.yaml", partners+strings.Replace(other, "Portal", "Other", 1)), org.How{Prune: true}); err == nil {
			t.Error("the app that a rule is about went away")
		}
	})
}

// An organisation from before gets its own server with the next file, and keeps it.
func TestTheOrgServerComesAndStays(t *testing.T) {
	onBoth(t, func(t *testing.T, o *org.Org) {
		must(t, o.Store.Update(ctx, func(tx store.Tx) error { return tx.PutServer(ctx, oauth.DefaultServer()) }))
		p := apply(t, o, portal, org.How{Prune: true})
		if len(p.Changes) == 0 || p.Changes[0].Kind != "server" || p.Changes[0].Name != oauth.OrgServer {
			t.Errorf("after an upgrade:\n%s", p)
		}
		if p := apply(t, o, "servers: [{id: default}]\n", org.How{Prune: true}); len(p.Changes) != 0 {
			t.Errorf("pruned:\n%s", p)
		}
		must(t, o.Store.View(ctx, func(tx store.Tx) error { _, err := tx.Server(ctx, oauth.OrgServer); return err }))
		apply(t, o, "servers: [{id: org, access_token: 5m, rules: [{apps: [portal-client]}]}]\n", org.How{})
		if !strings.Contains(export(t, o), "id: org") || strings.Contains(export(t, o), "api://org") {
			t.Errorf("exported:\n%s", export(t, o))
		}
	})
}

func TestS61_NoClaimTakesThePlaceOfOurs(t *testing.T) {
	for claims, said := range map[string]string{
		`[{name: UID, in: [access], text: x}]`:                                           "tokens have a claim UID already",
		`[{name: Acr, in: [id], text: x}]`:                                               "tokens have a claim Acr already",
		`[{name: Email, in: [access, id], user: email}]`:                                 "claims[0].in[1]",
		`[{name: tenant, in: [access], text: x}, {name: Tenant, in: [access], text: y}]`: "claims[1].name: another one in this file has it already",
	} {
		f, err := org.Read("org.yaml", []byte("servers: [{id: partners, claims: "+claims+"}]\n"))
		if err == nil {
			_, err = over(openSQLite(t)).Apply(ctx, f, org.How{})
		}
		if err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: %v", claims, err)
		}
	}
}
