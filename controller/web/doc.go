// Package web is everything that speaks HTTP with Echo: the public side, where the platform
// delivers its hooks, and the admin side, where people and programs see and control the streams.
//
// Start with [NewHooks] and [NewAdmin]; both give a [Server], which serves on what [Sockets.Listen]
// opened and leaves without losing a request ([Server.Drain]). What the admin side shows comes from
// a [Controller]; what happens to a hook is up to a [Receiver].
//
// Handlers that need no router are plain http.Handlers. No name, status or error of this package is
// a promise; the ones in openapi.yaml are.
//
// The files:
//
//	server.go, listen.go, tls.go        both sides: serving, sockets, certificates
//	conns.go, refusal.go, peer.go       connections, answers to what is no HTTP, who is there
//	hooks.go, body.go, strangers.go     the public side
//	admin.go, guard.go                  the admin side: its routes, and what stands before them
//	login.go, local.go, guesses.go      who may: tokens, sessions, users of this machine
//	status.go, streams.go, accounts.go  what is shown and moved
//	watch.go, fold.go, near.go          the live feed, short histories, names that were meant
//	pages.go, problem.go                the dashboard's files; errors as answers
//	metrics.go, collector.go            numbers for Prometheus
package web
