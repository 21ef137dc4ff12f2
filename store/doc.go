// Package store keeps what oncue must not forget in one SQLite file: the journal of hooks, each
// stream's state and history, and small settings. [Open] is the way in; [Store] implements
// [controller.Store].
//
// One goroutine writes, in package store/commit: what waits for it is committed together and synced
// once. What a request means in SQL is said here. Reads are ordinary queries, and wait for nobody.
//
// The files, by the way of a hook and then by what keeps the file well:
//
//	store.go, open.go, migrate.go, dir.go  opening: the folder, the file, its schema
//	lock.go, supported.go                  one process at a time; a build that can hold SQLite
//	sqlite_cgo.go, sqlite_nocgo.go         what depends on that build
//	write.go                               what callers ask to have written, and a batch of it
//	journal.go, duplicates.go, streams.go  its rows: hooks, what they repeat, states and history
//	records.go                             reading hooks
//	run.go                                 the writer, on one file after another
//	sweep.go, backup.go                    retention and backups
//	health.go, keeper.go, ballast.go       faults, their end, and room on a full disk
//	replace.go                             a corrupt file makes way for a backup
package store
