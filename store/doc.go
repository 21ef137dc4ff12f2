// Package store keeps what oncue must not forget in one SQLite file: the journal of hooks, each
// stream's state and history, and small settings. [Open] is the way in; [Store] implements
// [controller.Store].
//
// One goroutine writes. What waits for it is committed together and synced once, so a durable
// answer costs each caller a share of an fsync, and everybody is answered after the commit. Reads
// go their own way and wait for nobody.
//
// The files, by the way of a hook and then by what keeps the file well:
//
//	store.go, open.go, migrate.go, dir.go  opening: the folder, the file, its schema
//	lock.go, supported.go                  one process at a time; a build that can hold SQLite
//	sqlite_cgo.go, sqlite_nocgo.go         what depends on that build
//	journal.go, streams.go                 what callers ask to have written
//	queue.go, gather.go                    who waits, and for whom a commit waits
//	run.go, writer.go, conn.go             the writer: supervised, its loop, its connection
//	seen.go, runs.go                       what came before, found without reading the file
//	records.go, digest.go                  reading hooks, and the index for readers
//	idle.go, sweep.go, backup.go           upkeep when there is time
//	health.go, keeper.go, ballast.go       faults, their end, and room on a full disk
//	replace.go                             a corrupt file makes way for a backup
package store
