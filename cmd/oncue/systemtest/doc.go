// Package systemtest runs the real program from outside: against the simulated platform (e2e_*),
// under faults (chaos_*, when ONCUE_CHAOS or -chaos asks for it) and against the clock (bench_*,
// when -bench-table does). It has nothing but tests; those of single commands are in package main.
package systemtest
