//go:build !cgo

package store

// builtWithCgo tells a binary that can hold SQLite from one that cannot.
const builtWithCgo = false

func sqliteVersion() (string, int) { return "none", 0 }

func driverFault(error) fault { return faultNone }
