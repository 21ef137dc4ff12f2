//go:build !cgo

package store

// builtWithCgo reports whether this binary holds SQLite.
const builtWithCgo = false

func sqliteVersion() (string, int) { return "none", 0 }

func driverFault(error) fault { return faultNone }
