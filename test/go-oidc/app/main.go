// App sends people to Latchkey's own pages to sign in, and greets them when they are back.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

func main() {
	ctx, url := context.Background(), os.Getenv("APP_URL") // this application, as browsers see it
	provider, err := oidc.NewProvider(ctx, os.Getenv("ISSUER"))
	if err != nil {
		log.Fatal(err)
	}
	app := oauth2.Config{
		ClientID: os.Getenv("CLIENT_ID"), RedirectURL: url + "/callback", Endpoint: provider.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}

	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
		for name, value := range map[string]string{"state": state, "nonce": nonce, "verifier": verifier} {
			http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		}
		http.Redirect(w, r, app.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), http.StatusFound)
	})
	http.HandleFunc("GET /callback", func(w http.ResponseWriter, r *http.Request) {
		kept := func(name string) string {
			if c, err := r.Cookie(name); err == nil {
				return c.Value
			}
			return ""
		}
		if q := r.URL.Query(); q.Get("state") == "" || q.Get("state") != kept("state") || q.Get("code") == "" {
			http.Error(w, "That did not work: "+q.Get("error"), http.StatusBadRequest)
			return
		}
		token, err := app.Exchange(r.Context(), r.URL.Query().Get("code"), oauth2.VerifierOption(kept("verifier")))
		if err != nil {
			http.Error(w, "That did not work.", http.StatusBadGateway)
			return
		}
		raw, _ := token.Extra("id_token").(string)
		id, err := provider.Verifier(&oidc.Config{ClientID: app.ClientID}).Verify(r.Context(), raw)
		if err == nil && id.Nonce != kept("nonce") {
			err = errors.New("another sign-in's nonce")
		}
		var who struct{ Name string }
		if err == nil {
			err = id.Claims(&who)
		}
		if err != nil {
			http.Error(w, "That did not work.", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "Hello, %s.", who.Name)
	})
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN"), nil))
}
