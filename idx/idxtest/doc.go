// Package idxtest records what an idx client and an engine say to each other, and replays it without an engine.
//
// A [Recorder] goes around the client's transport and writes a transcript: JSON lines, one exchange each, with every
// secret replaced by a name such as «stateHandle-1». [Replay] plays the engine's part from such a file and compares
// what the client sends with what was recorded: method, path, headers and body. It decides nothing: a test that wants
// behaviour takes a real engine (package latchkeytest).
package idxtest
