package controller

import "strings"

// StreamID names a stream among all accounts: "account/name". A name may hold slashes itself, an
// account may not. "" names no stream.
type StreamID string

// HelperAccount stands in the place of the account in the ids of helpers, such as "helpers/plug-3":
// each has a state, holds and a history like a stream. No account of the platform has that name.
const HelperAccount = "helpers"

// HelperID is the id of the helper of that name.
func HelperID(name string) StreamID { return JoinID(HelperAccount, name) }

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
