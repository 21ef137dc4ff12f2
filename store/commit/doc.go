// Package commit is the write path of a SQLite database, made for many callers who each wait for
// a durable answer. [Writer.Do] is what a caller calls, [Writer.Serve] is the one goroutine that
// writes. It knows no table: what a request means, the owner says in [Options].
//
// What it buys, measured on two cores. Shares are of what a bare file can do to which all that
// waits is appended and synced, at 64 callers:
//
//   - group commit (queue.go): requests that come while one batch is synced are the next batch:
//     80 times as many answers as one transaction for each.
//   - callers who were just answered may join the next commit (gather.go), otherwise they split
//     into two groups that alternate. A millisecond for that instead of half of one: from 0.77 to
//     0.92 up to 0.84 to 0.97.
//   - one prepared connection below database/sql (conn.go), so that the owner can write a batch in
//     few statements: from 0.88 to 0.97 up to 0.93 to 1.01.
//   - a write-ahead log that is long before it is needed, and is moved into the file between
//     batches (wal.go): overwriting a block costs half the sync of adding one.
package commit
