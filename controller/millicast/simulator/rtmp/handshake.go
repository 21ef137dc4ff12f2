package rtmp

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
)

const (
	version       = 3
	handshakeSize = 1536
)

var errVersion = errors.New("the handshake asks for another version than 3: this is not RTMP, or it is encrypted RTMP")

// handshake does the plain handshake: C0 C1, then S0 S1 S2 in one write, then C2. Publishers may
// check that S2 echoes C1; this side does not check C2.
func handshake(rw io.ReadWriter) error {
	hello := make([]byte, 1+handshakeSize)
	if _, err := io.ReadFull(rw, hello); err != nil {
		return fmt.Errorf("handshake: read C0 and C1: %w", err)
	}
	if hello[0] != version {
		return fmt.Errorf("handshake: %w", errVersion)
	}
	answer := make([]byte, 1+2*handshakeSize)
	answer[0] = version
	rand.Read(answer[9 : 1+handshakeSize]) // after S1's time and its four zero bytes
	copy(answer[1+handshakeSize:], hello[1:])
	if _, err := rw.Write(answer); err != nil {
		return fmt.Errorf("handshake: write S0, S1 and S2: %w", err)
	}
	if _, err := io.ReadFull(rw, hello[1:]); err != nil {
		return fmt.Errorf("handshake: read C2: %w", err)
	}
	return nil
}
