//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// A connection is an HTTP client that costs next to nothing: it shares the cores with the server that it
// measures, and what it uses up is missing there. It knows as much of HTTP/1.1 as net/http answers with.
type connection struct {
	net.Conn
	in   *bufio.Reader
	out  []byte
	body []byte
	host string
	used time.Time
}

func dial(addr string) (*connection, error) {
	c := &connection{host: addr}
	return c, c.dial()
}

func (c *connection) dial() (err error) {
	if c.Conn, err = net.DialTimeout("tcp", c.host, 5*time.Second); err != nil {
		return err
	}
	c.in, c.used = bufio.NewReaderSize(c.Conn, 16<<10), time.Now()
	return nil
}

// fresh dials anew where the server is about to hang up, as it does when nothing comes for a while.
func (c *connection) fresh() error {
	if time.Since(c.used) < 5*time.Second {
		c.used = time.Now()
		return nil
	}
	c.Close()
	return c.dial()
}

// A media is how a request's body is written.
type media string

const (
	form media = "application/x-www-form-urlencoded"
	json media = "application/json; okta-version=1.0.0"
)

func (c *connection) post(path string, kind media, body string) ([]byte, error) {
	c.begin("POST", path)
	c.out = fmt.Appendf(c.out, "Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(body), body)
	return c.answer(path)
}

func (c *connection) get(path, bearer string) ([]byte, error) {
	c.begin("GET", path)
	if bearer != "" {
		c.out = fmt.Appendf(c.out, "Authorization: Bearer %s\r\n", bearer)
	}
	c.out = append(c.out, "\r\n"...)
	return c.answer(path)
}

func (c *connection) put(path string, body string) ([]byte, error) {
	c.begin("PUT", path)
	c.out = fmt.Appendf(c.out, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return c.answer(path)
}

func (c *connection) begin(method, path string) {
	c.out = fmt.Appendf(c.out[:0], "%s %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nUser-Agent: bench\r\n", method, path, c.host)
}

// A refusal is an answer that is not 200.
type refusal struct{ path, status, body string }

func (r refusal) Error() string { return fmt.Sprintf("%s: %s: %.300s", r.path, r.status, r.body) }

// busy reports that the server said to come again later.
func (r refusal) busy() bool { return strings.HasPrefix(r.status, "HTTP/1.1 503 ") }

// answer sends the request and returns the body of a 200, which is good until the next one; all else is an error.
func (c *connection) answer(path string) ([]byte, error) {
	if err := c.fresh(); err != nil {
		return nil, err
	}
	if _, err := c.Write(c.out); err != nil {
		return nil, err
	}
	status, err := c.line()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	good := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	said := string(status) // the line is overwritten by the next
	length, chunked := 0, false
	for {
		line, err := c.line()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch textproto.CanonicalMIMEHeaderKey(string(name)) {
		case "Content-Length":
			length, _ = strconv.Atoi(string(value))
		case "Transfer-Encoding":
			chunked = true
		}
	}
	c.body = c.body[:0]
	if chunked {
		err = c.chunks()
	} else {
		err = c.read(length)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !good {
		return nil, refusal{path, said, string(c.body)}
	}
	return c.body, nil
}

func (c *connection) chunks() error {
	for {
		size, err := c.line()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(size), 16, 31)
		if err != nil {
			return err
		}
		if err := c.read(int(n)); err != nil {
			return err
		}
		if _, err := c.line(); err != nil || n == 0 {
			return err
		}
	}
}

// read appends n bytes to the body.
func (c *connection) read(n int) error {
	had := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	_, err := io.ReadFull(c.in, c.body[had:])
	return err
}

func (c *connection) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}
