package oauth

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestIssuers(t *testing.T) {
	for id, want := range map[string][2]string{
		"default": {"https://id.example/oauth2/default", "https://id.example/oauth2/default"},
		OrgServer: {"https://id.example", "https://id.example/oauth2"},
	} {
		if got := [2]string{Issuer("https://id.example", id), Base("https://id.example", id)}; got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
}

func TestS57_Rules(t *testing.T) {
	s := DefaultServer()
	if err := s.Permits("0oa1", TokenExchange, []string{"openid"}); err != nil {
		t.Errorf("a server without rules is open: %v", err)
	}
	s.Rules = []Rule{
		{Apps: []ClientID{"0oa1"}, GrantTypes: []GrantType{InteractionCode}, Scopes: []string{"openid", "email"}},
		{Apps: []ClientID{"0oa2"}},
		{GrantTypes: []GrantType{RefreshToken}, Scopes: []string{"phone"}},
	}
	for name, test := range map[string]struct {
		client ClientID
		grant  GrantType
		scopes []string
		ok     bool
	}{
		"what the rule says":              {"0oa1", InteractionCode, []string{"openid"}, true},
		"a scope more":                    {"0oa1", InteractionCode, []string{"openid", "profile"}, false},
		"another grant":                   {"0oa1", TokenExchange, []string{"openid"}, false},
		"another app":                     {"0oa3", InteractionCode, []string{"openid"}, false},
		"an app with all":                 {"0oa2", TokenExchange, []string{"openid", "profile"}, true},
		"everybody's rule":                {"0oa3", RefreshToken, []string{"phone"}, true},
		"no two rules together":           {"0oa1", RefreshToken, []string{"phone", "email"}, false},
		"a grant that nobody names":       {"0oa1", "", []string{"email"}, false},
		"scopes that are not known yet":   {"0oa1", InteractionCode, nil, true},
		"those, with a grant of somebody": {"0oa3", InteractionCode, nil, false},
	} {
		err := s.Permits(test.client, test.grant, test.scopes)
		var e *Error
		if (err == nil) != test.ok || err != nil && (!errors.As(err, &e) || e.Code != AccessDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := Client{ID: "0oa3", Scopes: s.Scopes, Grants: []GrantType{InteractionCode}}
	if _, err := s.Grantable(c, InteractionCode, "openid"); err == nil {
		t.Error("a scope was grantable to an application that no rule names")
	}
	// Two rules do not make a third one out of the grant of the one and the scopes of the other.
	s.Rules = []Rule{
		{GrantTypes: []GrantType{AuthorizationCode}, Scopes: []string{"openid", "phone"}},
		{GrantTypes: []GrantType{InteractionCode}, Scopes: []string{"openid", "email"}},
	}
	for by, scope := range map[GrantType]string{AuthorizationCode: "phone", InteractionCode: "email"} {
		if _, err := s.Grantable(c, by, "openid "+scope); err != nil {
			t.Errorf("%s: %v", by, err)
		}
		for _, other := range []GrantType{AuthorizationCode, InteractionCode, DeviceCode, ClientCredentials} {
			if _, err := s.Grantable(c, other, "openid "+scope); other != by && err != errRules {
				t.Errorf("%s by %s: %v", scope, other, err)
			}
		}
	}
}

func TestCustomClaims(t *testing.T) {
	i := issue()
	i.Groups = []string{"staff"}
	i.Server.Claims = []Claim{
		{Name: "tenant", In: []TokenKind{InAccess, InID}, Text: "acme"},
		{Name: "login", In: []TokenKind{InID}, User: UserLogin},
		{Name: "mail", In: []TokenKind{InAccess}, Scope: "email", User: UserEmail},
		{Name: "tel", In: []TokenKind{InAccess}, Scope: "phone", User: UserEmail}, // not granted
		{Name: "groups", In: []TokenKind{InAccess}, User: UserGroups},
		{Name: "given", In: []TokenKind{InAccess}, User: UserGivenName},
		{Name: "family", In: []TokenKind{InAccess}, User: UserFamilyName},
		{Name: "locale", In: []TokenKind{InAccess}, User: UserLocale},
		{Name: "zone", In: []TokenKind{InAccess}, User: UserZone},
		{Name: "sub", In: []TokenKind{InAccess, InID}, Text: "00u1root"}, // however it came into the database
		{Name: "email_verified", In: []TokenKind{InID}, Text: "true"},
		{Name: "UID", In: []TokenKind{InAccess}, Text: "00u1root"},
		{Name: "Sub", In: []TokenKind{InAccess, InID}, Text: "00u1root"},
		{Name: "Email_Verified", In: []TokenKind{InID}, Text: "true"},
	}
	wantJSON(t, i.AccessToken(), `{"ver":1,"jti":"AT.X","iss":"https://id.example/oauth2/default","aud":"api://default",
		"iat":1795378928,"exp":1795379828,"cid":"0oa1seed","uid":"00u1mary","scp":["openid","profile","email"],
		"auth_time":1795378868,"sub":"mary@example.com","tenant":"acme","mail":"mary@example.com","groups":["staff"],
		"given":"Mary","family":"Acme","locale":"en_US","zone":"America/Los_Angeles"}`)
	wantJSON(t, i.IDToken("token"), `{"sub":"00u1mary","ver":1,"iss":"https://id.example/oauth2/default","aud":"0oa1seed",
		"iat":1795378928,"exp":1795382528,"jti":"ID.X","amr":["pwd","sms","mca","mfa"],"idp":"00o1org","nonce":"n",
		"auth_time":1795378868,"at_hash":"PEaenWxYddN6Q_NT1PiOYQ","name":"Mary Acme","preferred_username":"mary@example.com",
		"email":"mary@example.com","email_verified":true,"tenant":"acme","login":"mary@example.com"}`)
	i.User.Zone, i.User.Locale, i.Groups = "", "", nil
	raw, err := json.Marshal(i.AccessToken())
	if err != nil || strings.Contains(string(raw), "zone") || !strings.Contains(string(raw), `"groups":[]`) {
		t.Errorf("what is not known: %s, %v", raw, err)
	}
	if !i.Server.SaysGroups(nil) || DefaultServer().SaysGroups([]string{"openid"}) || !DefaultServer().SaysGroups([]string{"groups"}) {
		t.Error("when groups are read")
	}
}

// TestS61_NoClaimTakesThePlaceOfOurs, whatever the case of its letters: encoding/json does not look at it.
func TestS61_NoClaimTakesThePlaceOfOurs(t *testing.T) {
	for kind, ours := range map[TokenKind]any{InAccess: AccessToken{}, InID: IDToken{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(ours)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			for _, spelled := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], strings.ReplaceAll(name, "s", "\u017f")} {
				if name != "-" && !Reserved(kind, spelled) {
					t.Errorf("%s tokens say %s, and %q can be put beside it", kind, name, spelled)
				}
			}
		}
	}
	for name, kind := range map[string]TokenKind{"groups": InAccess, "email": InAccess, "tenant": InID, "subject": InID} {
		if Reserved(kind, name) {
			t.Errorf("%s in %s tokens means nothing to us", name, kind)
		}
	}
}
