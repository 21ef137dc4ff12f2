package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const backupsKept = 7

// Backup writes a compact copy of the whole database to the folder backups in the data directory,
// durable once it returns, and removes all but the newest seven. Neither readers nor the writer
// wait for it, but the write-ahead log cannot shrink meanwhile.
func (s *Store) Backup(ctx context.Context) error {
	if err := s.backup(ctx); err != nil {
		return fmt.Errorf("back up the database: %w", err)
	}
	return nil
}

func (s *Store) backup(ctx context.Context) error {
	s.backupMu.Lock()
	defer s.backupMu.Unlock()
	dir := s.backupDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := s.roomForBackup(dir); err != nil {
		return err
	}
	name := filepath.Join(dir, "oncue-"+s.now().UTC().Format("20060102T150405.000Z")+".db")
	temp := name + ".part"
	if err := s.vacuumInto(ctx, temp); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, name); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	return s.trimBackups()
}

func (s *Store) backupDir() string { return filepath.Join(s.options.Dir, backupsName) }

// roomForBackup keeps a backup from being what fills the disk.
func (s *Store) roomForBackup(dir string) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	free, _, err := freeSpace(dir)
	if err == nil && free < info.Size()+reserveMinFree {
		err = fmt.Errorf("%d MiB are free, and it may need %d MiB", free>>20, (info.Size()+reserveMinFree)>>20)
	}
	return err
}

// vacuumInto copies through a connection of its own, for the readers' connections refuse to write
// anything anywhere.
func (s *Store) vacuumInto(ctx context.Context, path string) error {
	f, err := openOwn(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer f.Close()
	db, err := sql.Open("sqlite3", dsn(s.path, map[string][]string{"mode": {"ro"}}))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return err
	}
	return f.Sync()
}

// backups returns the backups' paths, newest first.
func (s *Store) backups() ([]string, error) {
	entries, err := os.ReadDir(s.backupDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "oncue-") && strings.HasSuffix(e.Name(), ".db") {
			found = append(found, filepath.Join(s.backupDir(), e.Name()))
		}
	}
	slices.Sort(found)
	slices.Reverse(found)
	return found, err
}

func (s *Store) trimBackups() error {
	all, err := s.backups()
	for _, old := range all[min(backupsKept, len(all)):] {
		err = errors.Join(err, os.Remove(old))
	}
	return err
}
