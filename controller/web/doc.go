// Package web is everything that speaks HTTP with Echo: the public side, where the platform delivers its hooks, and the admin side, where
// people and programs see and control the streams.
//
// Start with [NewHooks] and [NewAdmin]; both give a [Server], which serves on what [Sockets.Listen] opened and leaves without losing a request
// ([Server.Drain]). What the admin side shows comes from a [Controller]; what happens to a hook is up to a [Receiver].
//
// Handlers that need no router are plain http.Handlers. No name, status or error of this package is a promise; the ones in openapi.yaml are.
package web
