package main

import (
	"log/slog"
	"net"
	"os"
)

// tellSystemd says READY=1 or STOPPING=1 to whoever started us, as sd_notify(3) does, if they asked to be told:
// with Type=notify systemd starts what needs us when we serve, and not when the process is there.
func tellSystemd(state string, log *slog.Logger) {
	at := os.Getenv("NOTIFY_SOCKET")
	if at == "" {
		return
	}
	// A name with an @ is in Linux's abstract namespace, which Go spells the same.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: at, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		conn.Close()
	}
	if err != nil {
		log.Warn("systemd cannot be told", "state", state, "error", err)
	}
}
