package server

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"latchkey.dev/internal/limit"
)

func TestS80_WhatCannotBeCountedIsToBeTriedAgain(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Count = func(context.Context, string) (limit.Reading, error) {
			return limit.Reading{}, errors.New("no database")
		}
		c.OAuth = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusServiceUnavailable) })
	})
	for _, path := range []string{"/idp/idx/identify", "/oauth2/default/v1/token"} {
		req := request("POST", path)
		req.RemoteAddr = "192.0.2.1:99"
		if got := r.do(req); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", path, got.StatusCode, got.Header)
		}
	}
}
