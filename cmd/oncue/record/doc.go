// Package record makes the settings of a box out of requests that a browser sent to it: [Read] takes
// a HAR file or curl commands, as developer tools save and copy them, and [Guess] finds the requests
// that start, stop and ask, takes the secrets out, and says what it has guessed.
package record
