// Package web serves HTTP with Echo: the public side, where the platform delivers its hooks, and
// the admin side, where people and programs see and control the streams.
//
// Start with [NewHooks] and [NewAdmin]; both return a [Server], which serves the listeners that
// [Sockets.Listen] opened and ends without losing a request ([Server.Drain]). What the admin side
// shows comes from a [Controller]; a [Receiver] decides what becomes of a hook.
//
// Only openapi.yaml is a stable interface; names, statuses and errors that are not in it may
// change.
//
// A hook takes these steps: Hooks.hook (routing, answer), Hooks.receive (content type, body, flood
// guard), millicast.Receiver.Receive. To watchers of the admin side it is a controller.Record,
// written as eventJSON.
//
// The files:
//
//	server.go, listen.go, tls.go        both sides: serving, sockets, certificates
//	conns.go, refusal.go, peer.go       connections, answers to malformed requests, client addresses
//	hooks.go, body.go, strangers.go     the public side: hooks, their bodies, the flood guard
//	admin.go, guard.go                  the admin side: its routes, and the checks before them
//	login.go, local.go, guesses.go      permissions: tokens, sessions, users of this host
//	status.go, streams.go, accounts.go  what the API shows and changes
//	demand.go, wake.go                  leases of demand, and the wake links that pages ask by
//	watch.go, fold.go, near.go          live updates, short histories, suggested names
//	pages.go, problem.go                the dashboard's files; errors as answers
//	metrics.go, collector.go            metrics for Prometheus
package web
