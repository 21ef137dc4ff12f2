package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/oncue/oncue/controller"
)

// openFile opens the database, brings it to the newest schema, and replaces it when it is corrupt.
func (s *Store) openFile(ctx context.Context) (*handles, error) {
	h, err := s.openMigrated(ctx)
	if faultOf(err) != faultCorrupt {
		return h, err
	}
	if s.movedTo, err = s.moveAside(err); err != nil {
		return nil, err
	}
	return s.openRestored(ctx)
}

func (s *Store) openMigrated(ctx context.Context) (*handles, error) {
	h, err := openHandles(ctx, s.path)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, h.rw, migrations, func() error { return s.Backup(ctx) }); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	// Without a table every hook would be refused as if the hook were wrong.
	if err := checkTables(ctx, h.rw); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// checkTables reads the end of every table, as the writer will.
func checkTables(ctx context.Context, db *sql.DB) error {
	for _, end := range []string{"max(seq) FROM journal", "max(seq) FROM history", "max(seq) FROM swept",
		"max(id) FROM streams", "max(key) FROM settings"} {
		var found any
		err := db.QueryRowContext(ctx, "SELECT "+end).Scan(&found)
		if faultOf(err) == faultRequest {
			return fmt.Errorf("%w: %w", errCorrupt, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openRestored opens the newest good backup in the place of the file that was moved aside, or an
// empty file.
func (s *Store) openRestored(ctx context.Context) (*handles, error) {
	backup, err := s.restore(ctx)
	if err != nil {
		return nil, err
	}
	h, err := s.openMigrated(ctx)
	if err != nil {
		return nil, err
	}
	from := "an empty database"
	if backup != "" {
		from = "the backup " + filepath.Base(backup)
	}
	s.log.Error("store: the database is replaced", "moved_to", s.movedTo, "continues_with", from)
	s.notice(Corrupt, fmt.Sprintf("The database was corrupt. It was moved to %s, and oncue goes on with %s.",
		filepath.Base(s.movedTo), from))
	s.movedTo = ""
	return h, nil
}

// swap replaces the open file. Called again after an error, it continues where it stopped.
func (s *Store) swap(cause error) (err error) {
	if s.movedTo == "" {
		if s.movedTo, err = s.moveAside(cause); err != nil {
			return err
		}
		// Only now: when the file is not where it was opened, SQLite neither checkpoints nor
		// deletes its log.
		if err := s.handles.Load().Close(); err != nil {
			s.log.Warn("store: closing the corrupt database", "error", err)
		}
	}
	h, err := s.openRestored(context.Background())
	if err != nil {
		return fmt.Errorf("replace the corrupt database: %w", err)
	}
	s.handles.Store(h)
	s.health.replaced()
	return nil
}

// moveAside renames the corrupt file with its log, so that they can still be read together, and
// returns the new name. Nothing of it is ever deleted.
func (s *Store) moveAside(cause error) (string, error) {
	s.log.Error("store: the database is corrupt", "error", cause)
	aside := s.path + ".corrupt-" + s.now().UTC().Format("20060102T150405.000Z")
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s.corrupt-%s-%d", s.path, s.now().UTC().Format("20060102T150405.000Z"), n)
	}
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(s.path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("move the corrupt database aside: %w", err)
		}
	}
	return aside, syncDir(s.options.Dir)
}

// restore puts the newest good backup in the file's place and returns its path, "" when there is
// none.
func (s *Store) restore(ctx context.Context) (string, error) {
	backups, err := s.backups()
	if err != nil {
		return "", fmt.Errorf("list the backups: %w", err)
	}
	for _, backup := range backups {
		if err := checkFile(ctx, backup); err != nil {
			s.log.Warn("store: a backup is damaged", "file", backup, "error", err)
			continue
		}
		if err := copyFile(backup, s.path); err != nil {
			return "", fmt.Errorf("restore %s: %w", backup, err)
		}
		return backup, nil
	}
	return "", nil
}

// checkFile reads a whole database that nobody writes to.
func checkFile(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite3", dsn(path, map[string][]string{"mode": {"ro"}, "immutable": {"1"}}))
	if err != nil {
		return err
	}
	defer db.Close()
	return quickCheck(ctx, db, "")
}

// quickCheck reads one table and its indexes, or everything, and returns errCorrupt with the first
// thing that is wrong.
func quickCheck(ctx context.Context, db *sql.DB, table string) error {
	query := "PRAGMA quick_check(1)"
	if table != "" {
		query = "PRAGMA quick_check(" + table + ")"
	}
	var found string
	if err := db.QueryRowContext(ctx, query).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errCorrupt, found)
	}
	return nil
}

// copyFile makes to a durable copy of from, whole or not at all.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	temp := to + ".restoring"
	out, err := openOwn(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// notice tells the owner of the store what people want to know.
func (s *Store) notice(kind, text string) {
	if s.options.Notice != nil {
		s.options.Notice(controller.Notice{Kind: kind, At: s.now(), Text: text})
	}
}
