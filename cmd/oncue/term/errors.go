package term

import "errors"

// usageError is a mistake in the words of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// saidError is one that was already printed in a form of its own.
type saidError struct{ error }

func (e saidError) Unwrap() error { return e.error }

// hinted carries the likely fix of an error.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// Hint is for the admin side, which answers with it.
func (e hinted) Hint() string { return e.hint }

// Hint gives an error the likely fix.
func Hint(err error, text string) error { return hinted{err, text} }

// HintFor returns the likely fix of an error, or "".
func HintFor(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

// Usage makes an error one of the command line: the exit code is 2.
func Usage(err error) error { return usageError{err} }

// Said marks an error as printed already.
func Said(err error) error { return saidError{err} }

// IsUsage reports whether the command line was wrong.
func IsUsage(err error) bool { return errors.As(err, &usageError{}) }

// IsSaid reports whether the error was already printed.
func IsSaid(err error) bool { return errors.As(err, &saidError{}) }

// MayRead is the hint for somebody who may not read the configuration.
const MayRead = "the file is for its owner and its group: use sudo, or join the group " +
	"(with the package: adduser YOU oncue)"
