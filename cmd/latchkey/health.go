package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

type healthCommand struct {
	configured
	Ready bool `help:"Ask whether it takes requests, and not only whether it runs."`
}

// Run asks the server on this machine how it is: a container without a shell has nothing else to ask with.
func (c healthCommand) Run(ctx context.Context, out io.Writer) error {
	settings, err := c.read()
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(settings.Listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	origin, err := url.Parse(settings.Origin)
	if err != nil {
		return err
	}
	where := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/healthz"}
	if c.Ready {
		where.Path = "/readyz"
	}
	if settings.TLS.On() {
		where.Scheme = "https"
	}
	return ask(ctx, out, where.String(), origin)
}

func ask(ctx context.Context, out io.Writer, where string, origin *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	request.Host = origin.Host // it answers to no other name (S-46)
	client := &http.Client{Transport: &http.Transport{
		// The certificate is for people who come from elsewhere. Here nothing is told and nothing is believed
		// but a status, which whoever took the port could not make worse.
		TLSClientConfig: &tls.Config{ServerName: origin.Hostname(), InsecureSkipVerify: true},
	}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(out, io.LimitReader(response.Body, 1024)); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", where, response.Status)
	}
	return nil
}
