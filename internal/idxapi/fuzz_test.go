package idxapi

import (
	"encoding/json"
	"testing"

	"latchkey.dev/internal/fault"
	"latchkey.dev/internal/testkit"
)

func FuzzBody(f *testing.F) {
	testkit.Seed(f, "testdata/requests/*.json")
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := parse(raw)
		if err != nil {
			if fault.As(err).Kind != fault.Invalid {
				t.Fatalf("bad input is the sender's fault: %v", err)
			}
			return
		}
		var check map[string]any
		if err := json.Unmarshal(raw, &check); err != nil || len(check) != len(b.members) {
			t.Fatalf("accepted what is no object: %v", err)
		}
		choice := b.choice()
		handle := b.handle()
		passcode, typed := b.object("credentials").optional("passcode")
		if b.fail() != nil {
			return
		}
		// What we accept, we understood: nothing was converted.
		auth, _ := check["authenticator"].(map[string]any)
		if got := auth["id"]; got != string(choice.Authenticator) {
			t.Fatalf("authenticator %v read as %q", got, choice.Authenticator)
		}
		if check["stateHandle"] != handle.Reveal() {
			t.Fatalf("handle %v read as %q", check["stateHandle"], handle.Reveal())
		}
		if creds, ok := check["credentials"].(map[string]any); ok && typed && creds["passcode"] != passcode {
			t.Fatalf("passcode %v read as %q", creds["passcode"], passcode)
		}
	})
}
