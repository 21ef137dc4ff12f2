package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the file to the newest schema of all, each step in one transaction. backup is
// called once before the first step on a file that holds anything.
func migrate(ctx context.Context, db *sql.DB, all fs.FS, backup func() error) error {
	steps, err := fs.Glob(all, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		if version > len(steps)+1000 {
			return fmt.Errorf("%w: schema version %d", errCorrupt, version)
		}
		return fmt.Errorf("the database has schema version %d, and this oncue knows up to %d: "+
			"use the newer oncue again, or restore a backup from before it", version, len(steps))
	}
	if version > 0 && version < len(steps) {
		if err := backup(); err != nil {
			return fmt.Errorf("back up before migrating: %w", err)
		}
	}
	for ; version < len(steps); version++ {
		if err := migrateStep(ctx, db, all, steps[version], version+1); faultOf(err) == faultRequest {
			// The file does not hold what its version says.
			return fmt.Errorf("%w: %s: %w", errCorrupt, steps[version], err)
		} else if err != nil {
			return fmt.Errorf("%s: %w", steps[version], err)
		}
	}
	return nil
}

func migrateStep(ctx context.Context, db *sql.DB, all fs.FS, name string, version int) error {
	text, err := fs.ReadFile(all, name)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil) // immediate, by the handle's _txlock
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing to undo after Commit
	if _, err := tx.ExecContext(ctx, string(text)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
		return err
	}
	return tx.Commit()
}
