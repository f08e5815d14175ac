package idx_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"

	"latchkey.dev/idx"
	"latchkey.dev/idx/idxtest"
)

// replay stands in for an engine: it plays what one has said before. Real code calls idx.New once, with its issuer and
// client id, and keeps the client.
func replay(name string) *idx.Client {
	player, err := idxtest.Open("testdata/transcripts/" + name + ".jsonl")
	if err != nil {
		panic(err)
	}
	client, err := player.Client()
	if err != nil {
		panic(err)
	}
	return client
}

// tell prints where a sign-in stands, and ends the example on an error.
func tell(tx *idx.Transaction, err error) *idx.Transaction {
	if err != nil {
		panic(err)
	}
	if step := tx.NextStep(); step != nil {
		fmt.Println(tx.Status(), step.Name)
	} else {
		fmt.Println(tx.Status())
	}
	return tx
}

// A sign-in with password and phone, enrolling the phone on the way.
func Example() {
	ctx, client := context.Background(), replay("enroll-phone")

	tx := tell(client.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com", Password: "Correct-Horse-1"}))
	tx = tell(client.Continue(ctx, tx, idx.Answers{Authenticator: "phone"}))
	tx = tell(client.Continue(ctx, tx, idx.Answers{Method: "sms", PhoneNumber: "+15551234567"}))
	tx = tell(client.Continue(ctx, tx, idx.Answers{VerificationCode: "424242"}))

	tokens, err := client.Exchange(ctx, tx)
	if err != nil {
		fmt.Println(err)
		return
	}
	who, err := client.UserInfo(ctx, tokens)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("hello,", who.Name)
	// Output:
	// PENDING select-authenticator-enroll
	// PENDING authenticator-enrollment-data
	// PENDING enroll-authenticator
	// SUCCESS
	// hello, Mary Acme
}

func ExampleNew() {
	client, err := idx.New(idx.Config{
		Issuer:      "https://id.example/oauth2/default",
		ClientID:    "0oa1seed",
		RedirectURI: "https://app.example/callback",
	})
	fmt.Println(client, err)
	// Output: Client{https://id.example/oauth2/default, 0oa1seed} <nil>
}

func ExampleClient_For() {
	client := replay("callback")
	login := func(w http.ResponseWriter, r *http.Request) {
		// Behind a proxy in 10.0.0.0/8, whose X-Forwarded-For can be believed.
		user := idx.EndUserFrom(r, netip.MustParsePrefix("10.0.0.0/8"))
		_ = client.For(user) // every request now says whom it is for
		fmt.Println(user.IP, user.Language)
	}
	r := httptest.NewRequest("GET", "/login", nil)
	r.RemoteAddr = "10.1.2.3:4567"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	r.Header.Set("Accept-Language", "de-CH")
	login(httptest.NewRecorder(), r)
	// Output: 203.0.113.7 de-CH
}

func ExampleClient_Start() {
	tx := tell(replay("callback").Start(context.Background()))
	for path, input := range tx.NextStep().Fields() {
		fmt.Printf("%s: %q required=%t secret=%t\n", path, input.Label, input.Required, input.Secret)
	}
	// Output:
	// PENDING identify
	// identifier: "Username" required=true secret=false
	// credentials.passcode: "Password" required=false secret=true
	// rememberMe: "Remember this device" required=false secret=false
}

func ExampleClient_Authenticate() {
	ctx, client := context.Background(), replay("refusals")
	_, err := client.Authenticate(ctx, idx.Answers{Username: "nobody@example.com", Password: "Correct-Horse-1"})

	var no *idx.RejectedError
	if errors.As(err, &no) { // show the same page again, with what the engine has to say
		fmt.Println(no.Messages[0].Text)
		fmt.Println(no.Transaction.NextStep().Name)
	}
	// Output:
	// There is no account with the Username nobody@example.com.
	// identify
}

func ExampleClient_Continue() {
	ctx, client := context.Background(), replay("verify-phone")
	// As many steps as the answers cover: here the password page and the choice of the phone.
	tx := tell(client.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com", Password: "Correct-Horse-1", Authenticator: "phone"}))
	fmt.Println("a code went to", tx.NextStep().Authenticator.Hint)
	// Output:
	// PENDING challenge-authenticator
	// a code went to +1 XXX-XXX-4567
}

func ExampleClient_Proceed() {
	ctx, client := context.Background(), replay("enroll-phone")
	tx := tell(client.Start(ctx))
	tx = tell(client.Proceed(ctx, tx, "identify", idx.Values{"identifier": "mary.acme@example.com", "credentials.passcode": "Correct-Horse-1"}))

	list := tx.NextStep().Inputs[0]
	phone := list.Options[0]
	tell(client.Proceed(ctx, tx, tx.NextStep().Name, idx.Values{list.Name: phone.Choose(nil)}))
	// Output:
	// PENDING identify
	// PENDING select-authenticator-enroll
	// PENDING authenticator-enrollment-data
}

func ExampleClient_Skip() {
	ctx, client := context.Background(), replay("optional-phone")
	tx := tell(client.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com", Password: "Correct-Horse-1"}))
	if tx.NextStep().CanSkip {
		tell(client.Skip(ctx, tx))
	}
	// Output:
	// PENDING select-authenticator-enroll
	// SUCCESS
}

func ExampleClient_Resend() {
	ctx, client := context.Background(), replay("verify-phone")
	tx := tell(client.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com", Password: "Correct-Horse-1", Authenticator: "phone"}))
	if tx.NextStep().CanResend {
		tell(client.Resend(ctx, tx))
	}
	// Output:
	// PENDING challenge-authenticator
	// PENDING challenge-authenticator
}

func ExampleClient_Cancel() {
	ctx, client := context.Background(), replay("identifier-first")
	tx := tell(client.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com"}))
	_, err := client.Continue(ctx, tx, idx.Answers{Password: "wrong-horse"})
	fmt.Println(err)
	tx = tell(client.Continue(ctx, tx, idx.Answers{Password: "Correct-Horse-1"}))
	tell(client.Cancel(ctx, tx))
	// Output:
	// PENDING challenge-authenticator
	// idx: challenge-authenticator: the engine said no: errors.E0000004
	// PENDING select-authenticator-enroll
	// CANCELED
}

func ExampleClient_Resume() {
	ctx, client := context.Background(), replay("callback")
	tx := tell(client.Start(ctx))

	sealer, err := idx.NewSealer([32]byte{ /* 32 random bytes */ 1})
	if err != nil {
		panic(err)
	}
	cookie, err := sealer.Seal(tx) // goes to the browser and comes back with the next request
	if err != nil {
		panic(err)
	}
	tx = tell(sealer.Open(cookie))
	tell(client.Resume(ctx, tx))
	// Output:
	// PENDING identify
	// PARKED
	// PENDING identify
}

func ExampleClient_Callback() {
	ctx, client := context.Background(), replay("callback")
	tx := tell(client.Start(ctx))
	// The browser went to an identity provider and is back at the redirect URI, but the engine wants more.
	query := url.Values{"state": {tx.State()}, "error": {"interaction_required"}}
	tell(client.Callback(ctx, tx, query))
	// Output:
	// PENDING identify
	// PENDING identify
}

func ExampleClient_Register() {
	tx := tell(replay("register").Register(context.Background(), idx.Answers{
		NewPassword: "Correct-Horse-1",
		Profile:     idx.Values{"firstName": "Mary", "email": "mary.acme@example.com"},
	}))
	fmt.Println(len(tx.Unused()), "answers left")
	// Output:
	// SUCCESS
	// 0 answers left
}

func ExampleClient_RecoverPassword() {
	ctx, client := context.Background(), replay("recover-password")
	tx := tell(client.RecoverPassword(ctx, idx.Answers{Username: "mary.acme@example.com"}))
	tx = tell(client.Continue(ctx, tx, idx.Answers{VerificationCode: "424242"}))
	tell(client.Continue(ctx, tx, idx.Answers{NewPassword: "Correct-Horse-1"}))
	// Output:
	// PENDING challenge-authenticator
	// PENDING reset-authenticator
	// SUCCESS
}

func ExampleClient_UnlockAccount() {
	ctx, client := context.Background(), replay("unlock-account")
	tx := tell(client.UnlockAccount(ctx, idx.Answers{Username: "mary.acme@example.com", Authenticator: "email"}))
	tx = tell(client.Continue(ctx, tx, idx.Answers{VerificationCode: "424242"}))
	fmt.Println(tx.Messages()[0].Text)
	// Output:
	// PENDING challenge-authenticator
	// TERMINAL
	// You can log in using your existing username and password
}

func ExampleClient_Poll() {
	ctx, client := context.Background(), replay("push")
	tx := tell(client.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com", Password: "Correct-Horse-1"}))
	fmt.Println("ask again after", tx.NextStep().PollEvery)
	tell(client.Poll(ctx, tx))
	// Output:
	// PENDING challenge-poll
	// ask again after 1s
	// PENDING challenge-poll
}

func ExampleClient_Wait() {
	ctx, client := context.Background(), replay("push")
	tx := tell(client.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com", Password: "Correct-Horse-1"}))
	tell(client.Wait(ctx, tx)) // until there is something new to show
	// Output:
	// PENDING challenge-poll
	// PENDING challenge-poll
}

func ExampleClient_Watch() {
	ctx, client := context.Background(), replay("push")
	tx := tell(client.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com", Password: "Correct-Horse-1"}))
	for tx, err := range client.Watch(ctx, tx) {
		tell(tx, err)
	}
	// Output:
	// PENDING challenge-poll
	// PENDING challenge-poll
	// SUCCESS
}

// signedIn is a sign-in that is over, for the examples of what comes after.
func signedIn(client *idx.Client) *idx.Tokens {
	ctx := context.Background()
	tx, err := client.Authenticate(ctx, idx.Answers{Username: "mary.acme@example.com", Password: "Correct-Horse-1"})
	if err != nil {
		panic(err)
	}
	if tx, err = client.Skip(ctx, tx); err != nil {
		panic(err)
	}
	tokens, err := client.Exchange(ctx, tx)
	if err != nil {
		panic(err)
	}
	return tokens
}

func ExampleClient_Exchange() {
	tokens := signedIn(replay("optional-phone"))
	fmt.Println(tokens) // printing shows no token
	fmt.Println(strings.Count(tokens.IDToken, "."))
	// Output:
	// Tokens{Bearer, subject "00u1mary", tokens [redacted]}
	// 2
}

func ExampleClient_UserInfo() {
	client := replay("optional-phone")
	who, err := client.UserInfo(context.Background(), signedIn(client))
	if err != nil {
		panic(err)
	}
	fmt.Println(who.Name, who.Email)
	// Output: Mary Acme mary.acme@example.com
}

func ExampleClient_Refresh() {
	ctx, client := context.Background(), replay("optional-phone")
	tokens := signedIn(client)
	if _, err := client.UserInfo(ctx, tokens); err != nil {
		panic(err)
	}
	fresh, err := client.Refresh(ctx, tokens.RefreshToken)
	if err != nil {
		panic(err)
	}
	fmt.Println(fresh.Subject == tokens.Subject)
	// Output: true
}

func ExampleClient_Revoke() {
	ctx, client := context.Background(), replay("optional-phone")
	tokens := signedIn(client)
	if _, err := client.UserInfo(ctx, tokens); err != nil {
		panic(err)
	}
	if _, err := client.Refresh(ctx, tokens.RefreshToken); err != nil {
		panic(err)
	}
	fmt.Println(client.Revoke(ctx, tokens.AccessToken))
	// Output: <nil>
}

func ExampleClient_LogoutURL() {
	client := replay("optional-phone")
	tokens := signedIn(client)
	to, err := client.LogoutURL(context.Background(), tokens.IDToken, "https://app.example/", "")
	if err != nil {
		panic(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		panic(err)
	}
	fmt.Println(u.Host+u.Path, u.Query().Get("post_logout_redirect_uri"))
	// Output: id.example/oauth2/default/v1/logout https://app.example/
}

// hosting stands in for an engine that has begun a sign-in of its own pages.
func hosting() (*httptest.Server, *idx.Client) {
	engine := httptest.NewServer(nil)
	engine.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		form := `{"rel":["create-form"],"name":%q,"method":"POST","href":"` + engine.URL + `/idp/idx/x","value":[{"name":"stateHandle","value":"02s"}]}`
		fmt.Fprintf(w, `{"version":"1.0.0","stateHandle":"02s","remediation":{"value":[`+form+`]},"cancel":`+form+`}`, "identify", "cancel")
	})
	client, err := idx.New(idx.Config{Issuer: engine.URL, ClientID: "pages", RedirectURI: engine.URL + "/"})
	if err != nil {
		panic(err)
	}
	return engine, client
}

// The engine has begun a sign-in and hands its pages the handle.
func ExampleClient_Adopt() {
	engine, client := hosting()
	defer engine.Close()
	tell(client.Adopt(context.Background(), "the interaction handle"))
	// Output: PENDING identify
}

// "Not you?": somebody else wants to sign in to the same application.
func ExampleClient_Restart() {
	engine, client := hosting()
	defer engine.Close()
	tx := tell(client.Adopt(context.Background(), "the interaction handle"))
	tell(client.Restart(context.Background(), tx))
	// Output:
	// PENDING identify
	// PENDING identify
}
