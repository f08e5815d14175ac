package latchkeytest_test

import (
	"fmt"
	"net/http"
	"time"

	"latchkey.dev/latchkeytest"
)

// A test starts a server, uses it like the real one, and reads the text that a person would have got.
func Example() {
	srv := latchkeytest.Start(t) // t is the test's

	ada := srv.AddUser(latchkeytest.User{Login: "ada@example.com", Phone: "+12025550111"})

	// Sign in with your own program; this one does it call by call.
	app := begin(t, srv, srv.Env["CLIENT_ID"])
	app.password(ada.Login, ada.Password)
	app.text("") // the code goes to the phone that is enrolled
	signedIn := app.answer(srv.Code(t, ada.Phone))

	fmt.Println(app.profile(signedIn.code())["email"])
	// Output: ada@example.com
}

// The clock is the server's, so that a test need not wait for a code to expire.
func ExampleServer_Advance() {
	srv := latchkeytest.Start(t)
	app := begin(t, srv, srv.Env["CLIENT_ID"])
	app.password(srv.Env["USERNAME_ENROLLED"], srv.Env["PASSWORD_ENROLLED"])
	app.text("")

	srv.Advance(6 * time.Minute)

	late := app.answer(srv.Code(t, srv.Env["PHONE_ENROLLED"]))
	fmt.Println(late.Status == http.StatusUnauthorized, late.code() == "")
	// Output: true true
}
