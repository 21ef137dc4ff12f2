package tcp

import (
	"bytes"
	"fmt"
	"strings"
)

// cutter cuts what comes in into messages.
type cutter struct {
	messages string // lines, blocks or bytes, as in the settings
	end      byte   // of messages: bytes
	most     int    // largest message, bytes

	rest  []byte   // of a line, or of bytes, that has not ended
	lines []string // of a block that has not ended
	size  int      // of lines, bytes
}

// add takes what has come in, and returns the messages that are whole by now. After an error the
// cutter is of no use.
func (c *cutter) add(data []byte) ([]string, error) {
	var whole []string
	end := byte('\n')
	if c.messages == "bytes" {
		end = c.end
	}
	for len(data) > 0 {
		i := bytes.IndexByte(data, end)
		piece := data
		if i >= 0 {
			piece = data[:i+1]
		}
		if len(c.rest)+len(piece)+c.size > c.most {
			return whole, fmt.Errorf("the box has sent a message of more than %d bytes", c.most)
		}
		c.rest, data = append(c.rest, piece...), data[len(piece):]
		if i < 0 {
			break
		}
		if message, ok := c.take(); ok {
			whole = append(whole, message)
		}
		c.rest = c.rest[:0]
	}
	return whole, nil
}

// take makes a message of what rest ends. ok is false when more of it is to come.
func (c *cutter) take() (message string, ok bool) {
	if c.messages == "bytes" {
		return shownHex(c.rest), true
	}
	line := plainLine(c.rest)
	switch {
	case c.messages == "lines":
		return line, true
	case line != "":
		c.lines, c.size = append(c.lines, line), c.size+len(c.rest)
		return "", false
	}
	message = strings.Join(c.lines, "\n")
	c.lines, c.size = nil, 0
	return message, message != ""
}

// pending shows what has come in of a message that is not whole.
func (c *cutter) pending() string {
	if c.messages == "bytes" {
		return shownHex(c.rest)
	}
	return strings.Join(append(c.lines[:len(c.lines):len(c.lines)], plainLine(c.rest)), "\n")
}

// packet makes a message of a whole packet.
func (c *cutter) packet(data []byte) string {
	if c.messages == "bytes" {
		return shownHex(data)
	}
	return strings.TrimRight(strings.ReplaceAll(strings.ToValidUTF8(string(data), "\uFFFD"), "\r\n", "\n"), "\n")
}

// plainLine is a line without its end, as valid UTF-8.
func plainLine(b []byte) string {
	return strings.ToValidUTF8(string(bytes.TrimRight(b, "\r\n")), "\uFFFD")
}

// shownHex writes bytes as 90 50 02 FF.
func shownHex(b []byte) string { return fmt.Sprintf("% X", b) }
