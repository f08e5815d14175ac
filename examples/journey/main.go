// Journey signs somebody in with password and phone, and reads their profile.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"latchkey.dev/idx"
)

func main() {
	ctx := context.Background()
	client, err := idx.New(idx.Config{
		Issuer: os.Getenv("ISSUER"), ClientID: os.Getenv("CLIENT_ID"), RedirectURI: os.Getenv("REDIRECT_URI"),
		Scopes: []string{"openid", "profile", "email"},
	})
	if err != nil {
		log.Fatal(err)
	}
	typed := bufio.NewScanner(os.Stdin)
	ask := func(what string) string { fmt.Print(what, ": "); typed.Scan(); return typed.Text() }

	tx, err := client.Authenticate(ctx, idx.Answers{Username: ask("Username"), Password: ask("Password")})
	for err == nil && tx.Status() == idx.StatusPending {
		var answers idx.Answers
		switch step := tx.NextStep(); step.Name {
		case "select-authenticator-enroll", "authenticator-enrollment-data":
			answers = idx.Answers{Authenticator: "phone_number", Method: "sms", PhoneNumber: ask("Phone number, with + and country code")}
		case "authenticator-verification-data":
			answers = idx.Answers{Method: "sms"}
		default:
			answers = idx.Answers{VerificationCode: ask("Code from the text message")}
		}
		tx, err = client.Continue(ctx, tx, answers)
		// A refusal is an error that carries on: the same step, with what was wrong.
		if no := (*idx.RejectedError)(nil); errors.As(err, &no) && no.Transaction.Status() == idx.StatusPending {
			fmt.Println(no.Messages[0].Text)
			tx, err = no.Transaction, nil
		}
	}
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := client.Exchange(ctx, tx) // verifies the ID token before it returns
	if err != nil {
		log.Fatal(err)
	}
	who, err := client.UserInfo(ctx, tokens)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Hello,", strings.TrimSpace(who.Name), who.Email)
}
