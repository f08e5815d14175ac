package idxapi_test

import (
	"context"
	"net/http"
	"testing"

	"latchkey.dev/internal/engine"
	"latchkey.dev/internal/flow"
	"latchkey.dev/internal/ident"
	"latchkey.dev/internal/idxapi"
	"latchkey.dev/internal/oauth"
	"latchkey.dev/internal/secret"
)

// ended is an engine whose every answer is one page.
type ended struct {
	idxapi.Engine
	page *engine.Page
}

func (e ended) Answer(context.Context, secret.Text, secret.Text) (*engine.Page, error) {
	return e.page, nil
}

// A sign-in that ends by a redirect gives its code to the browser it is sent away with, and not to whoever reads the answer.
func TestSuccessThatIsARedirect(t *testing.T) {
	h := build(t)
	page := &engine.Page{
		Handle: "02" + secret.Text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"), Expires: h.now.UTC(), Offer: flow.Offer{Stage: flow.Done, Known: true},
		Client: oauth.Client{ID: "0oa1seed", Label: "Seed App"}, Server: "default", User: ident.User{ID: "00u1mary", Login: mary},
		Code: "must-not-show", Redirect: origin + "/login/token/redirect?stateToken=02abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ",
	}
	h.api = idxapi.New(idxapi.Config{Engine: ended{page: page}, Origin: origin})
	v := &visit{house: h, state: page.Handle.Reveal()}
	a := v.code("424242").want(t, http.StatusOK)
	golden(t, "success-redirect", a)
	if a.doc["successWithInteractionCode"] != nil || a.at("success", "rel") != nil {
		t.Errorf("it can be posted, or exchanged: %s", a.raw)
	}
	if walk(a.doc, "cancel", "name") != "cancel" { // idx 4.2: in every answer that has a handle
		t.Error("no cancel")
	}
}
