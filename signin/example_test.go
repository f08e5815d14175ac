package signin_test

import (
	"fmt"
	"log"
	"net/http"

	"latchkey.dev/idx"
	"latchkey.dev/signin"
)

// An application mounts the pages, and asks them who is there.
func Example() {
	client, err := idx.New(idx.Config{
		Issuer:      "https://id.example/oauth2/default",
		ClientID:    "0oa1example",
		RedirectURI: "https://app.example/callback",
	})
	if err != nil {
		log.Fatal(err)
	}
	pages, err := signin.New(signin.Config{
		Client:      client,
		URL:         "https://app.example/signin",
		AppName:     "Example",
		Accent:      "#4f46e5",
		AfterSignIn: "/",
	})
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
		fmt.Fprintf(w, "Hello, %s.", session.User.Name)
	})
}
