package op

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"latchkey.dev/internal/keys"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/policy"
	"latchkey.dev/internal/store"
)

// A realm is one authorization server as it answers: what it is, and the documents that do not change with the request.
type realm struct {
	oauth.Server
	issuer    string
	base      string // what its endpoints are below
	org       string
	register  string // where applications register themselves, or empty
	discovery []byte
	devices   bool // there is a device grant
	etag      string
	clients   *sync.Map // by id: those found in use since the servers were read
}

// realms keeps the authorization servers in memory for a moment, so that discovery, keys and userinfo do
// not ask the database who they are (S-79 allows 30 s).
type realms struct {
	api     *API
	reading sync.Mutex
	held    atomic.Pointer[reading]
}

type reading struct {
	at   time.Time // by the process's clock, which nobody sets
	byID map[string]*realm
}

const (
	realmsFresh = 10 * time.Second
	realmsMiss  = time.Second // how soon a server that was not there is looked for again
)

func (rs *realms) forget() { rs.held.Store(nil) }

// find returns a server by its id.
func (rs *realms) find(ctx context.Context, id string) (*realm, error) {
	if now := rs.held.Load(); now != nil {
		age, found := time.Since(now.at), now.byID[id]
		if found != nil && age < realmsFresh {
			return found, nil
		}
		if found == nil && age < realmsMiss {
			return nil, errNotFound
		}
	}
	now, err := rs.read(ctx)
	if err != nil {
		return nil, err
	}
	if found := now.byID[id]; found != nil {
		return found, nil
	}
	return nil, errNotFound
}

// read asks the database; of callers that come at once, the first one does and the others wait for it.
func (rs *realms) read(ctx context.Context) (*reading, error) {
	asked := time.Now()
	rs.reading.Lock()
	defer rs.reading.Unlock()
	if now := rs.held.Load(); now != nil && now.at.After(asked) {
		return now, nil
	}
	now := &reading{at: time.Now(), byID: map[string]*realm{}}
	var (
		servers []oauth.Server
		org     string
	)
	err := rs.api.Store.View(ctx, func(tx store.Tx) (err error) {
		if servers, err = tx.Servers(ctx); err != nil {
			return err
		}
		org, err = tx.OrgID(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("op: reading the authorization servers: %w", err)
	}
	algorithms, err := rs.api.Keys.Algorithms(ctx)
	if err != nil {
		return nil, fmt.Errorf("op: reading the signing keys: %w", err)
	}
	clients := new(sync.Map)
	for _, s := range servers {
		now.byID[s.ID] = rs.api.newRealm(s, org, algorithms, clients)
	}
	rs.held.Store(now)
	return now, nil
}

func (a *API) newRealm(s oauth.Server, org string, algorithms []string, clients *sync.Map) *realm {
	if s.ID == oauth.OrgServer {
		s.Audience = a.Origin // the tokens of the organisation's own server are for us
	}
	r := &realm{Server: s, issuer: oauth.Issuer(a.Origin, s.ID), base: oauth.Base(a.Origin, s.ID), org: org, devices: a.letsDevicesIn(), clients: clients}
	if a.Apps != nil {
		r.register = a.Origin + registration
	}
	r.discovery = r.describe(algorithms)
	r.etag = etag(r.discovery)
	return r
}

// describe writes the metadata of OpenID Connect Discovery and RFC 8414. It says only what is true (S-66).
func (r *realm) describe(algorithms []string) []byte {
	methods := []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}
	signed := keys.ForeignAlgorithms()
	grants := []oauth.GrantType{oauth.AuthorizationCode, oauth.InteractionCode, oauth.RefreshToken, oauth.ClientCredentials, oauth.TokenExchange}
	var deviceAuthorization string
	if r.devices {
		grants, deviceAuthorization = append(grants, oauth.DeviceCode), r.base+"/v1/device/authorize"
	}
	body, err := json.Marshal(struct {
		Issuer              string            `json:"issuer"`
		Authorization       string            `json:"authorization_endpoint"`
		Token               string            `json:"token_endpoint"`
		Pushed              string            `json:"pushed_authorization_request_endpoint"`
		UserInfo            string            `json:"userinfo_endpoint"`
		JWKS                string            `json:"jwks_uri"`
		Introspection       string            `json:"introspection_endpoint"`
		Revocation          string            `json:"revocation_endpoint"`
		EndSession          string            `json:"end_session_endpoint"`
		DeviceAuthorization string            `json:"device_authorization_endpoint,omitempty"`
		Registration        string            `json:"registration_endpoint,omitempty"`
		ResponseTypes       []string          `json:"response_types_supported"`
		ResponseModes       []string          `json:"response_modes_supported"`
		Grants              []oauth.GrantType `json:"grant_types_supported"`
		Subjects            []string          `json:"subject_types_supported"`
		Algorithms          []string          `json:"id_token_signing_alg_values_supported"`
		Scopes              []string          `json:"scopes_supported"`
		Claims              []string          `json:"claims_supported"`
		ACR                 []string          `json:"acr_values_supported"`
		PKCE                []string          `json:"code_challenge_methods_supported"`
		TokenAuth           []string          `json:"token_endpoint_auth_methods_supported"`
		IntrospectionAuth   []string          `json:"introspection_endpoint_auth_methods_supported"`
		RevocationAuth      []string          `json:"revocation_endpoint_auth_methods_supported"`
		Prompts             []string          `json:"prompt_values_supported"`
		FrontChannel        bool              `json:"frontchannel_logout_supported"`
		FrontChannelSession bool              `json:"frontchannel_logout_session_supported"`
		BackChannel         bool              `json:"backchannel_logout_supported"`
		BackChannelSession  bool              `json:"backchannel_logout_session_supported"`
		TokenSigned         []string          `json:"token_endpoint_auth_signing_alg_values_supported"`
		IntrospectionSigned []string          `json:"introspection_endpoint_auth_signing_alg_values_supported"`
		RevocationSigned    []string          `json:"revocation_endpoint_auth_signing_alg_values_supported"`
		ProofSigned         []string          `json:"dpop_signing_alg_values_supported"`
		AuthorizationISS    bool              `json:"authorization_response_iss_parameter_supported"`
		ClaimsParameter     bool              `json:"claims_parameter_supported"`
		RequestParameter    bool              `json:"request_parameter_supported"`
		RequestURIParameter bool              `json:"request_uri_parameter_supported"`
		RequirePushed       bool              `json:"require_pushed_authorization_requests"`
	}{
		Issuer:              r.issuer,
		Authorization:       r.base + "/v1/authorize",
		Token:               r.base + "/v1/token",
		Pushed:              r.base + "/v1/par",
		UserInfo:            r.base + "/v1/userinfo",
		JWKS:                r.base + "/v1/keys",
		Introspection:       r.base + "/v1/introspect",
		Revocation:          r.base + "/v1/revoke",
		EndSession:          r.base + "/v1/logout",
		Registration:        r.register,
		ResponseTypes:       []string{"code"},
		ResponseModes:       oauth.ResponseModes,
		Grants:              grants,
		DeviceAuthorization: deviceAuthorization,
		Subjects:            []string{"public"},
		Algorithms:          algorithms, // those of the keys that are published
		Scopes:              r.Scopes,
		Claims:              r.ClaimsSupported(),
		ACR:                 policy.ACRValues(),
		PKCE:                []string{oauth.S256}, // without it okta-auth-js stops before its first call
		TokenAuth:           methods, IntrospectionAuth: methods, RevocationAuth: methods,
		Prompts:      oauth.Prompts,
		FrontChannel: true, FrontChannelSession: true, BackChannel: true, BackChannelSession: true,
		TokenSigned: signed, IntrospectionSigned: signed, RevocationSigned: signed, ProofSigned: keys.ProofAlgorithms(),
		AuthorizationISS: true,
	})
	if err != nil {
		panic("op: a discovery document that is no JSON: " + err.Error()) // strings and lists: a programming error
	}
	return body
}

func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

var (
	forAnHour  = []string{"public, max-age=3600"}
	forAMinute = []string{"public, max-age=60"}
)

// metadata answers both discovery addresses.
func (a *API) metadata(c *call) (reply, error) {
	return reply{kind: jsonType, body: c.realm.discovery, etag: c.realm.etag, cache: forAnHour}, nil
}

// keys answers the key set. It may be kept for a minute: a key that signs was published a day ahead, but
// a key that leaked is to be gone soon, and an emptied dev server has another one (S-69 allows an hour).
func (a *API) keys(c *call) (reply, error) {
	set, err := a.Keys.JWKS(c.Context())
	if err != nil {
		return reply{}, err
	}
	return reply{kind: jsonType, body: set, cache: forAMinute}, nil
}
