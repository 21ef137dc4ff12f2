package web

import (
	"bytes"
	"slices"
	"strconv"
)

// refusalHeader is what net/http sends between the status line and the text of its own answer to a
// request that it cannot read (net/http server.go, errorHeaders). No handler sees such a request,
// and no handler's answer looks like this, because each has a Date.
const refusalHeader = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// ownRefusal returns oncue's answer in place of one of net/http's, or answer itself when it is not
// net/http's. body makes the new body and returns its content type.
func ownRefusal(answer []byte, body func(status int) (kind string, text []byte)) []byte {
	line, _, found := bytes.Cut(answer, []byte(refusalHeader))
	const version = "HTTP/1.1 "
	if !found || !bytes.HasPrefix(line, []byte(version)) || bytes.ContainsAny(line, "\r\n") ||
		len(line) < len(version)+3 {
		return answer
	}
	status, err := strconv.Atoi(string(line[len(version) : len(version)+3]))
	if err != nil {
		return answer
	}
	kind, text := body(status)
	header := "\r\nContent-Type: " + kind + "\r\nContent-Length: " + strconv.Itoa(len(text)) +
		"\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
	return slices.Concat(line, []byte(header), text)
}

// Write sends oncue's answer where net/http would send its own.
func (c *conn) Write(b []byte) (int, error) {
	if c.conns.refusal == nil {
		return c.Conn.Write(b)
	}
	own := ownRefusal(b, c.conns.refusal)
	if len(own) == len(b) && (len(b) == 0 || &own[0] == &b[0]) {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(own); err != nil {
		return 0, err
	}
	return len(b), nil
}
