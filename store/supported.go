package store

// Supported reports whether this binary holds SQLite. One that was built without a C compiler does
// not, and cannot open a store.
const Supported = builtWithCgo
