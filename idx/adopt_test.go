package idx_test

import (
	"errors"
	"os"
	"testing"

	"latchkey.dev/idx"
)

// firstPage is a first page with a cancel form, of the flow with this state handle.
func firstPage(state string) string {
	return doc([]string{formAt("identify", stageOrigin+"/idp/idx/identify", identifierField)},
		`"stateHandle":"`+state+`"`, `"cancel":`+formAt("cancel", stageOrigin+"/idp/idx/cancel"))
}

const leaving = `"success":{"name":"success-redirect","href":"` + stageOrigin + `/login/token/redirect?stateToken=02abc"}`

func TestAdopt(t *testing.T) {
	s := play(say(200, firstPage("02first")), say(200, doc(nil, leaving)))
	c := s.client(t)
	tx, err := c.Adopt(t.Context(), "somebody-elses-handle")
	tx = must(t, tx, err, idx.StatusPending, "identify")
	if got := s.requests(); len(got) != 1 || tree(t, got[0].body)["interactionHandle"] != "somebody-elses-handle" {
		t.Fatalf("asked %v", got)
	}
	if tx.RedirectURL() != nil || tx.State() == "" {
		t.Errorf("redirect %v, state %q", tx.RedirectURL(), tx.State())
	}
	tx, err = c.Proceed(t.Context(), tx, "identify", idx.Values{"identifier": "mary@example.com"})
	tx = must(t, tx, err, idx.StatusSuccess, "success-redirect")
	if got := tx.RedirectURL(); got == nil || got.String() != stageOrigin+"/login/token/redirect?stateToken=02abc" || tx.InteractionCode() != "" {
		t.Errorf("it ends at %v, code %q", got, tx.InteractionCode())
	}
	var in *idx.InputError
	if _, err := c.Exchange(t.Context(), tx); !errors.As(err, &in) {
		t.Errorf("a code that is not there was exchanged: %v", err)
	}
	if n := len(s.requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
	if _, err := c.Adopt(t.Context(), ""); !errors.Is(err, idx.ErrNoTransaction) {
		t.Errorf("no handle: %v", err)
	}
	if tx, _ := c.Cancel(t.Context(), tx); tx.RedirectURL() != nil {
		t.Error("a canceled sign-in still leads somewhere")
	}
}

func TestAdoptedSignInsAreSealedAndKept(t *testing.T) {
	s := play(say(200, firstPage("02first")))
	c := s.client(t)
	tx, err := c.Adopt(t.Context(), "somebody-elses-handle")
	tx = must(t, tx, err, idx.StatusPending, "identify")
	sealed, err := sealer(t, 1).Seal(tx)
	if err != nil {
		t.Fatal(err)
	}
	back, err := sealer(t, 1).Open(sealed)
	if err != nil {
		t.Fatal(err)
	}
	back, err = c.Resume(t.Context(), back)
	must(t, back, err, idx.StatusPending, "identify")
	kept, err := tx.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	back, err = idx.Restore(kept)
	must(t, back, err, idx.StatusPending, "identify")
}

func TestRestart(t *testing.T) {
	s := play(say(200, firstPage("02first")), say(200, firstPage("02second")), say(200, firstPage("02second")))
	c := s.client(t)
	tx, err := c.Adopt(t.Context(), "somebody-elses-handle")
	tx = must(t, tx, err, idx.StatusPending, "identify")
	tx, err = c.Restart(t.Context(), tx)
	tx = must(t, tx, err, idx.StatusPending, "identify")
	sealed, err := sealer(t, 1).Seal(tx)
	if err != nil {
		t.Fatal(err)
	}
	back, err := sealer(t, 1).Open(sealed)
	if err != nil {
		t.Fatal(err)
	}
	back, err = c.Resume(t.Context(), back)
	must(t, back, err, idx.StatusPending, "identify")
	got := s.requests()
	if len(got) != 3 || got[1].url != stageOrigin+"/idp/idx/cancel" {
		t.Fatalf("asked %v", got)
	}
	// The interaction handle is dead with what was cancelled: from then on the state handle finds it.
	if last := tree(t, got[2].body); last["stateHandle"] != "02second" || last["interactionHandle"] != nil {
		t.Errorf("resumed by %v", last)
	}

	s = play(say(200, firstPage("02first")), say(200, doc(nil)))
	c = s.client(t)
	tx, err = c.Adopt(t.Context(), "somebody-elses-handle")
	tx = must(t, tx, err, idx.StatusPending, "identify")
	if _, err := c.Restart(t.Context(), tx); !errors.Is(err, idx.ErrNotOffered) {
		t.Errorf("an engine that only ends: %v", err)
	}
}

func TestRecordedSuccessRedirect(t *testing.T) {
	for _, name := range []string{"success", "success-with-app-user", "success-redirect-remediation"} {
		body, err := os.ReadFile("../../shared/fixtures/idx/" + name + ".json")
		if err != nil && os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		if err != nil {
			t.Skip("the recorded responses are not here")
		}
		tx := recorded(t, string(body))
		if got := tx.RedirectURL(); tx.Status() != idx.StatusSuccess || got == nil || got.String() != "http://localhost:3000/app/UserHome?stateToken=mockedStateToken123" {
			t.Errorf("%s: %s to %v", name, tx.Status(), got)
		}
	}
}
