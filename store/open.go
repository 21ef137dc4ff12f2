package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	_ "github.com/mattn/go-sqlite3" // registers the driver "sqlite3"
)

const (
	fileName = "oncue.db"

	// oldestSQLite is the first release without the WAL-reset bug, which could corrupt a file that
	// two connections use (https://sqlite.org/wal.html#walresetbug).
	oldestSQLite = 3_051_003

	// lockedWait is how long one try waits for a foreign process that holds the database. A hook
	// can meet two tries, and must be answered within 2 s.
	lockedWait = 800 * time.Millisecond
)

// handles are the two handles of one open file. The writer alone uses rw; everybody reads through
// ro.
type handles struct {
	rw *sql.DB
	ro *sql.DB
}

func (h *handles) Close() error { return errors.Join(h.ro.Close(), h.rw.Close()) }

// checkBuild refuses a binary that cannot keep hooks safely.
func checkBuild() error {
	if !builtWithCgo {
		return errors.New("this binary was built without cgo, and SQLite needs it: " +
			"install gcc and libc6-dev (Debian, Ubuntu), gcc and glibc-devel (Fedora) or build-base (Alpine), " +
			"and build with CGO_ENABLED=1")
	}
	if text, number := sqliteVersion(); number < oldestSQLite {
		return fmt.Errorf("sqlite %s has a bug that can corrupt the database: 3.51.3 or newer is needed; "+
			"build without the tag libsqlite3", text)
	}
	return nil
}

// openHandles opens the file in WAL mode, with every commit synced, making it when it is missing.
func openHandles(ctx context.Context, path string) (*handles, error) {
	// SQLite gives -wal and -shm the mode of the file itself.
	f, err := openOwn(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return nil, err
	}
	h := &handles{}
	if h.rw, err = sql.Open("sqlite3", dsn(path, url.Values{
		"_auto_vacuum":  {"incremental"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
		"_foreign_keys": {"on"},
		"_cache_size":   {"-8192"},
	})); err != nil {
		return nil, err
	}
	h.rw.SetMaxOpenConns(1)
	h.rw.SetConnMaxLifetime(0)
	if h.ro, err = sql.Open("sqlite3", dsn(path, url.Values{
		"mode":             {"ro"},
		"_query_only":      {"1"},
		"_stmt_cache_size": {"16"},
	})); err != nil {
		return nil, errors.Join(err, h.rw.Close())
	}
	h.ro.SetMaxOpenConns(4)
	h.ro.SetMaxIdleConns(4)
	if err := h.check(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// check reads the file's header, and checks the settings that durability depends on.
func (h *handles) check(ctx context.Context) error {
	var mode string
	if err := h.rw.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	var sync int
	if err := h.rw.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&sync); err != nil {
		return err
	}
	if mode != "wal" || sync != 2 {
		return fmt.Errorf("the database runs with journal_mode=%s synchronous=%d, not WAL and FULL: "+
			"is it on a network file system?", mode, sync)
	}
	var n int
	return h.rw.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
}

func dsn(path string, options url.Values) string {
	options.Set("_mutex", "no") // database/sql has one goroutine at a time use a connection
	options.Set("_busy_timeout", strconv.FormatInt(lockedWait.Milliseconds(), 10))
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: options.Encode()}).String()
}
