package configs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// references resolves ${NAME}, ${file:PATH} and $$. Errors never show the value of a reference.
type references struct {
	dir  string // of the configuration file; relative paths start there
	env  func(string) (string, bool)
	open func(string) (fs.File, error)
	seen map[string]lookup // a reference used a thousand times is read once
}

type lookup struct {
	value   string
	warning string
	err     error
}

// piece is one reference as found in a text.
type piece struct {
	raw string // ${NAME}
	lookup
	at int // where its value begins in the expanded text
}

// Shell users write $NAME. It counts as a reference that was intended anywhere if the name is in
// capitals, and as a whole value for any name.
var (
	shellName  = regexp.MustCompile(`^\$[A-Z_][A-Z0-9_]{2,}`)
	shellValue = regexp.MustCompile(`^\$[A-Za-z_][A-Za-z0-9_]+$`)
)

const bareDollar = "holds a $ before a name, which stays as it is written; " +
	"${NAME} is the environment variable NAME, and $$ a dollar sign"

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand returns s with its references replaced. Pieces are the references in it, resolved or not.
func (r *references) expand(s string) (string, []piece) {
	if !strings.Contains(s, "$") {
		return s, nil
	}
	var out strings.Builder
	var pieces []piece
	whole := s
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			out.WriteString(s)
			return out.String(), pieces
		}
		out.WriteString(s[:i])
		s = s[i:]
		switch s[1] {
		case '$':
			out.WriteByte('$')
			s = s[2:]
		case '{':
			end := strings.IndexByte(s, '}')
			if end < 0 {
				err := errors.New("${ has no closing }; write $${ for the two characters")
				return "", append(pieces, piece{raw: "${", lookup: lookup{err: err}})
			}
			raw := s[:end+1]
			found := r.find(raw[2:end])
			pieces = append(pieces, piece{raw, found, out.Len()})
			out.WriteString(found.value)
			s = s[end+1:]
		default:
			if shellName.MatchString(s) || shellValue.MatchString(whole) {
				pieces = append(pieces, piece{raw: "$", lookup: lookup{value: "$", warning: bareDollar}})
			}
			out.WriteByte('$')
			s = s[1:]
		}
	}
}

func (r *references) find(name string) lookup {
	if found, ok := r.seen[name]; ok {
		return found
	}
	var found lookup
	path, isFile := strings.CutPrefix(name, "file:")
	switch {
	case isFile:
		found = r.file(path)
	case !envName.MatchString(name):
		found.err = fmt.Errorf("${%s} is not a reference; allowed: ${NAME} for the environment, "+
			"${file:PATH} for a file's first line, $$ for a dollar sign", name)
	default:
		value, ok := r.env(name)
		if !ok {
			found.err = fmt.Errorf("the environment variable %s is not set", name)
		}
		found.value = value
	}
	r.seen[name] = found
	return found
}

// maxLine bounds the first line of a referenced file.
const maxLine = 64 << 10

func (r *references) file(path string) lookup {
	if path == "" {
		return lookup{err: errors.New("${file:} names no file")}
	}
	full := path
	if !filepath.IsAbs(full) {
		full = filepath.Join(r.dir, full)
	}
	line, mode, err := r.firstLine(full)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return lookup{err: fmt.Errorf("cannot read the file %s: %w", full, err)}
	}
	found := lookup{value: line}
	if mode.Perm()&0o004 != 0 && !r.credential(full) { // its group may be the daemon's
		found.warning = fmt.Sprintf("%s can be read by other users (mode %04o); chmod 600 keeps it secret", full,
			mode.Perm())
	}
	return found
}

// credential reports whether systemd put the file there. Its files show group permissions that are
// the mask of an access list.
func (r *references) credential(path string) bool {
	dir, ok := r.env("CREDENTIALS_DIRECTORY")
	return ok && dir != "" && strings.HasPrefix(path, dir+"/") || strings.HasPrefix(path, "/run/credentials/")
}

func (r *references) firstLine(path string) (string, fs.FileMode, error) {
	f, err := r.open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	line, err := bufio.NewReader(io.LimitReader(f, maxLine+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, err
	}
	if len(line) > maxLine {
		return "", 0, fmt.Errorf("its first line is longer than %d bytes", maxLine)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", 0, errors.New("its first line is empty")
	}
	return line, info.Mode(), nil
}

// openRegular opens a regular file. A pipe or terminal would wait for its writer.
func openRegular(path string) (fs.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	return os.Open(path)
}
