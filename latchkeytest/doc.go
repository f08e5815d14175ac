// Package latchkeytest gives a Go test a real Latchkey.
//
// [Start] runs the whole server in the test's process, on a port of 127.0.0.1 and a database of its own,
// and stops it with the test:
//
//	srv := latchkeytest.Start(t)
//	client := idx.New(idx.Config{Issuer: srv.Env["ISSUER"], ClientID: srv.Env["CLIENT_ID"], ...})
//
// It is the production server with the seeded organisation of `latchkey dev`; [Server.Env] holds what the
// env file there holds. What a test cannot have of the real world it gets from the Server: a clock that can
// be set ([Server.Advance]), the texts that would have been sent ([Server.Code]), carriers that refuse
// ([Server.GatewayFault]), people and applications of its own ([Server.AddUser], [Server.AddClient]), and a
// process that dies and comes back ([Server.Restart]).
//
// Two things are not as in production, unless asked for. The organisation is relaxed as in dev: codes can be
// sent again at once, unknown users are told so, any loopback redirect is taken ([ProductionLimits] ends
// that). And password hashes are cheap, so that thousands of sign-ins fit into a test run ([RealHash]).
package latchkeytest
