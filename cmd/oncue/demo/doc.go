// Package demo shows the whole thing on one machine: a simulated platform, the real daemon, a real
// FFmpeg and a page with what viewers see. [Run] does it; [Options.Prepare] comes before.
package demo
