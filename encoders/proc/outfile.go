package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"

	"github.com/oncue/oncue/configs/secret"
)

// OpenOutput opens a file for the child to append to. Because it appends, the file can be truncated
// safely.
func OpenOutput(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// Rotate moves the contents of a file that is larger than size to path.1, and reports whether it
// did. The process appends meanwhile, so that a few of its lines may be lost.
func Rotate(path string, size int64) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= size {
		return false, err
	}
	from, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer from.Close()
	if _, err := from.Seek(max(0, info.Size()-size), io.SeekStart); err != nil {
		return false, err
	}
	kept, err := os.OpenFile(path+".1", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(kept, io.LimitReader(from, size))
	if err = errors.Join(err, kept.Close()); err != nil {
		return false, err
	}
	return true, os.Truncate(path, 0)
}

// LastBytes returns at most n bytes from the end of a file, none of them before offset from. A
// missing file counts as empty.
func LastBytes(path string, from, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if from > info.Size() { // it was truncated since
		from = 0
	}
	at := max(from, info.Size()-n)
	body, err := io.ReadAll(io.NewSectionReader(f, at, n))
	if at > from { // it begins inside a line
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			body = body[i+1:]
		}
	}
	return body, err
}

// FirstBytes returns at most n bytes of a file from offset at.
func FirstBytes(path string, at, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, at, n))
}

// Lines splits output into lines that are safe to show on a terminal.
func Lines(body []byte) []string {
	var out []string
	for line := range strings.SplitSeq(string(body), "\n") {
		if i := strings.LastIndexByte(strings.TrimRight(line, "\r"), '\r'); i >= 0 {
			line = line[i+1:] // the program has overwritten what stands before it
		}
		line = strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' || r == 0x7f {
				return -1
			}
			return r
		}, line)
		if strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out
}

// Tail returns at most n last lines of an output file that is rotated at size bytes, oldest first.
func Tail(path string, size int64, n int) ([]string, error) {
	var out []string
	for _, part := range []string{path + ".1", path} {
		body, err := LastBytes(part, 0, size)
		if err != nil {
			return nil, fmt.Errorf("read the encoder's output: %w", err)
		}
		out = append(out, Lines(body)...)
	}
	return out[max(0, len(out)-n):], nil
}

// Blank overwrites the secrets that mask knows in an output file from an offset on, and returns the
// offset up to which it did: the end of the last complete line, or of the file when ended says that
// the process has ended. The process may append meanwhile, because nothing moves.
func Blank(mask *secret.Masker, path string, from int64, ended bool) (to int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return from, nil
	}
	if err != nil {
		return from, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, from, math.MaxInt64-from))
	if !ended {
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	if err == nil && mask.Blank(text) {
		_, err = f.WriteAt(text, from)
	}
	if err != nil {
		return from, err
	}
	return from + int64(len(text)), nil
}
