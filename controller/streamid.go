package controller

import "strings"

// StreamID names a stream among all accounts: "account/name". A name may hold slashes itself, an
// account may not. "" names no stream.
type StreamID string

// JoinID is the id of the stream of that name.
func JoinID(account, name string) StreamID { return StreamID(account + "/" + name) }

// Split cuts the id at its first slash. ok is false when there is none.
func (id StreamID) Split() (account, name string, ok bool) { return strings.Cut(string(id), "/") }

// Account is the part before the first slash.
func (id StreamID) Account() string {
	account, _, _ := id.Split()
	return account
}

// Name is the part after the first slash.
func (id StreamID) Name() string {
	_, name, _ := id.Split()
	return name
}
