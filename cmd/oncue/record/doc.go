// Package record makes the settings of a box out of requests that a browser sent to it: [Read]
// takes a HAR file or curl commands, as developer tools save and copy them, and [Make] finds the
// requests that log in, start, stop and ask, takes the secrets out, and says what it has guessed.
package record
