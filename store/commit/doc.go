// Package commit is the write path of a SQLite database, made for many callers who each wait for
// a durable answer. [Writer.Do] is what a caller calls, [Writer.Serve] is the one goroutine that
// writes. It knows no table: what a request means, the owner says in [Options].
//
// What it buys, on two cores, as a share of what a bare file can do to which all that waits is
// appended and synced:
//
//   - group commit (queue.go): requests that come while one batch is synced are the next batch. At
//     64 callers 90 times as many answers as one transaction for each.
//   - callers who were just answered may join the next commit (gather.go): 0.70 to 0.93 at 8 and
//     64 callers, who otherwise split into two groups that alternate.
//   - one prepared connection without database/sql's locks and conversions (conn.go), which is
//     what makes few statements for a batch pay: 0.88 to 0.97 before, 0.93 to 1.01 after.
//   - a write-ahead log that is long before it is needed, and is moved into the file between
//     batches (wal.go): overwriting a block costs half the sync of adding one.
package commit
