// Pages is an application whose sign-in pages are its own: it mounts those of package signin, and asks them who is there.
package main

import (
	"fmt"
	"html"
	"log"
	"net/http"
	"os"

	"latchkey.dev/idx"
	"latchkey.dev/signin"
)

func main() {
	url := os.Getenv("APP_URL") // this application, as browsers see it
	client, err := idx.New(idx.Config{
		Issuer: os.Getenv("ISSUER"), ClientID: os.Getenv("CLIENT_ID"), RedirectURI: url + "/callback",
		Scopes: []string{"openid", "profile", "email"},
	})
	if err != nil {
		log.Fatal(err)
	}
	pages, err := signin.New(signin.Config{Client: client, URL: url + "/signin", AppName: "Example", AfterSignIn: "/"})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.Handle("/signin", pages)
	mux.Handle("/signin/", pages)
	mux.HandleFunc("GET /callback", pages.Callback)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		session, ok := pages.Session(r)
		if !ok {
			http.Redirect(w, r, "/signin", http.StatusSeeOther)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Example</title><link rel="icon" href="data:,"><h1>Hello, %s.</h1>`, html.EscapeString(session.User.Name))
	})
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN"), mux))
}
