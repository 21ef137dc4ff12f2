package store

// Supported tells whether this binary holds SQLite: one that was built without a C compiler does not, and cannot open a store.
const Supported = builtWithCgo
