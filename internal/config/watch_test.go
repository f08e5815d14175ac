package config

import (
	"strings"
	"testing"

	"latchkey.dev/internal/secret"
	"latchkey.dev/internal/strict"
)

// TestS74_TheAdminListenerIsThisMachinesAlone, and never without a token.
func TestS74_TheAdminListenerIsThisMachinesAlone(t *testing.T) {
	good := Secret{Env: "TOKEN", value: secret.Text(strings.Repeat("x", leastToken))}
	for listen, ok := range map[string]bool{
		"127.0.0.1:4481": true, "[::1]:4481": true, "localhost:4481": true, "unix:/run/latchkey/admin.sock": true, "": true,
		":4481": false, "0.0.0.0:4481": false, "[::]:4481": false, "10.0.0.1:4481": false, "id.example:4481": false,
		"127.0.0.1": false, "unix:admin.sock": false,
	} {
		p := &strict.Problems{}
		a := Admin{Listen: listen, Token: good}
		if listen == "" {
			a.Token = Secret{}
		}
		a.check(p)
		if err := p.Err(); (err == nil) != ok {
			t.Errorf("%q: %v", listen, err)
		}
	}
	for name, token := range map[string]Secret{"none": {}, "short": {Env: "TOKEN", value: secret.Text("hunter2")}} {
		p := &strict.Problems{}
		Admin{Listen: "127.0.0.1:4481", Token: token}.check(p)
		if p.Err() == nil {
			t.Errorf("token: %s", name)
		}
	}
}
