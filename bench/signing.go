//go:build linux

package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// The floor of what signs and of what verifies: the signature, and what net/http and a form cost, and nothing else. It
// keeps nothing, so nothing waits for a disk, and it knows one key, so nothing is looked up.

// floorKey is of the kind that the house signs with: RSA, 2048 bits.
var floorKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// bareToken is an RS256 token of so many bytes in all.
func bareToken(size int) (string, error) {
	const header = `{"alg":"RS256"}`
	claims := max(2, size*3/4-256-len(header))
	signed := encode([]byte(header)) + "." + encode(blank[:claims])
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, floorKey(), crypto.SHA256, digest[:])
	return signed + "." + encode(signature), err
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// bareSign answers a form whose parameter sizes says how long each token is to be: 700,800 is an access and an ID token.
func bareSign(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	var tokens []string
	for _, each := range strings.Split(r.PostFormValue("sizes"), ",") {
		size, err := strconv.Atoi(each)
		if err != nil || size > len(blank) {
			http.Error(w, "how long?", http.StatusBadRequest)
			return
		}
		token, err := bareToken(size)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		tokens = append(tokens, token)
	}
	answer := fmt.Appendf(nil, `{"tokens":["%s"]}`, strings.Join(tokens, `","`))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.Write(answer)
}

// bareVerify verifies the token of a form or of a header, and answers with as many bytes as the path says: /verify/308.
func bareVerify(w http.ResponseWriter, r *http.Request) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		token = r.PostFormValue("token")
	}
	signed, signature, _ := cutLast(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	digest := sha256.Sum256([]byte(signed))
	if err != nil || rsa.VerifyPKCS1v15(&floorKey().PublicKey, crypto.SHA256, digest[:], raw) != nil {
		http.Error(w, "not a token", http.StatusUnauthorized)
		return
	}
	n, err := strconv.Atoi(r.PathValue("bytes"))
	if err != nil || n > len(blank) {
		http.Error(w, "how many bytes?", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(blank[:n])
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// bare is the floor's mux.
func bare() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sign", bareSign)
	mux.HandleFunc("/verify/{bytes}", bareVerify)
	mux.HandleFunc("/", bareGet)
	return mux
}
