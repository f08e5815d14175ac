//go:build linux

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A carrier is the telephone network: it takes texts as a webhook and remembers who got which.
type carrier struct {
	url    string
	secret string // whsec_...
	server *http.Server

	mu     sync.Mutex
	taken  map[string][]text // by number, oldest first
	news   chan struct{}     // closed at each arrival
	forged int               // calls whose signature is not ours

	// mood says what becomes of a call; nil takes everything.
	mood func(call int) outcome
	call int
}

// A text as it arrived.
type text struct {
	id, to, body string
	at           time.Time
}

// An outcome is what a carrier makes of a call.
type outcome int

const (
	takes outcome = iota
	fails
	hangs
)

func newCarrier() (*carrier, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &carrier{
		url:    "http://" + l.Addr().String() + "/texts",
		secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two letters..")),
		taken:  map[string][]text{}, news: make(chan struct{}),
	}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	go c.server.Serve(l)
	return c, nil
}

func (c *carrier) close() { _ = c.server.Close() }

func (c *carrier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller died while it spoke
	}
	var event struct {
		Data struct{ ID, To, Body string }
	}
	if !c.signed(r.Header, body) || json.Unmarshal(body, &event) != nil {
		c.mu.Lock()
		c.forged++
		c.mu.Unlock()
		w.WriteHeader(http.StatusForbidden)
		return
	}
	switch c.judge() {
	case fails:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case hangs:
		<-r.Context().Done()
		return
	}
	c.take(text{id: event.Data.ID, to: event.Data.To, body: event.Data.Body, at: time.Now()})
	w.WriteHeader(http.StatusNoContent)
}

func (c *carrier) signed(h http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), body)
	return strings.Contains(h.Get("Webhook-Signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func (c *carrier) judge() outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.call++
	if c.mood == nil {
		return takes
	}
	return c.mood(c.call)
}

func (c *carrier) take(t text) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken[t.to] = append(c.taken[t.to], t)
	close(c.news)
	c.news = make(chan struct{})
}

// sent returns what a number got, oldest first.
func (c *carrier) sent(number string) []text {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]text(nil), c.taken[number]...)
}

// code waits for the next text to a number after so many, and returns the code in it.
func (c *carrier) code(number string, after int, within time.Duration) (string, error) {
	late := time.After(within)
	for {
		c.mu.Lock()
		all, news := c.taken[number], c.news
		c.mu.Unlock()
		if len(all) > after {
			return codeIn(all[len(all)-1].body)
		}
		select {
		case <-news:
		case <-late:
			return "", fmt.Errorf("no text to %s within %s", number, within)
		}
	}
}

var lastLine = regexp.MustCompile(`(?m)^@\S+ #(\d{6})$`)

func codeIn(body string) (string, error) {
	found := lastLine.FindStringSubmatch(body)
	if found == nil {
		return "", fmt.Errorf("no code in a text of %d letters", len(body))
	}
	return found[1], nil
}
