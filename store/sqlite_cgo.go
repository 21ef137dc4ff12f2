//go:build cgo

package store

import (
	"errors"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"
)

// builtWithCgo reports whether this binary holds SQLite.
const builtWithCgo = true

// sqliteVersion is the version of the SQLite that is linked in, as text and as
// major*1,000,000 + minor*1,000 + patch.
func sqliteVersion() (string, int) {
	text, number, _ := sqlite3.Version()
	return text, number
}

// driverFault sorts an error of the driver by what it means for the store.
func driverFault(err error) fault {
	var e sqlite3.Error
	if err == nil || !errors.As(err, &e) {
		return faultNone
	}
	if e.SystemErrno == unix.ENOSPC || e.SystemErrno == unix.EDQUOT {
		return faultFull // comes as SQLITE_IOERR where it is the shared memory's file that cannot grow
	}
	switch e.Code {
	case sqlite3.ErrFull:
		return faultFull
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrProtocol:
		return faultLocked
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return faultCorrupt
	case sqlite3.ErrIoErr:
		switch e.ExtendedCode {
		case sqlite3.ErrIoErrShortRead:
			return faultCorrupt
		case sqlite3.ErrIoErrLock, sqlite3.ErrIoErrBlocked:
			return faultLocked
		}
		return faultDisk
	case sqlite3.ErrCantOpen, sqlite3.ErrPerm, sqlite3.ErrReadonly, sqlite3.ErrAuth:
		return faultAccess
	case sqlite3.ErrNomem:
		return faultMemory
	}
	return faultRequest
}
