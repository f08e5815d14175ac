package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
)

// Local is a transport that calls a handler of this process: the hosted pages are clients of the engine
// like any other, without a socket in between.
type Local struct{ Handler http.Handler }

// RoundTrip runs the handler to its end and returns what it wrote.
func (l Local) RoundTrip(r *http.Request) (response *http.Response, err error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "" // what marks a request from inside
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	defer func() {
		if p := recover(); p != nil {
			response, err = nil, errors.New("server: the handler broke the answer off")
		}
	}()
	out := &held{header: http.Header{}}
	l.Handler.ServeHTTP(out, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	out.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: strconv.Itoa(out.status) + " " + http.StatusText(out.status), StatusCode: out.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: out.sent, Body: io.NopCloser(&out.body), ContentLength: int64(out.body.Len()), Request: r,
	}, nil
}

// held is an answer that stays in memory.
type held struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

func (h *held) Header() http.Header { return h.header }

func (h *held) WriteHeader(status int) {
	if h.status == 0 && status >= 200 {
		h.status, h.sent = status, h.header.Clone()
	}
}

func (h *held) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(b)
}
