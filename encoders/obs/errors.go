package obs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// linkError says why OBS cannot be talked to.
type linkError struct {
	address string
	what    string // completes "obs at ADDRESS …"
	hint    string // the likely fix, "" when none is known
	refused bool   // the password is wrong or missing: asking again soon is pointless
	err     error
}

func (e *linkError) Error() string { return "obs at " + e.address + " " + e.what }
func (e *linkError) Unwrap() error { return e.err }

const (
	hintEnable   = "is OBS open, and its server on? In OBS: Tools → WebSocket Server Settings → Enable WebSocket server"
	hintPassword = "the password is in OBS under Tools → WebSocket Server Settings → Show Connect Info"
	hintVersion  = "obs-websocket 5 comes with OBS 28 and newer; version 4 (port 4444) speaks another protocol"
	hintFrozen   = "OBS may be frozen; look at its window"
	hintNetwork  = "check the address, the firewall between here and there, and that the computer is on"
)

// dialError explains why the websocket did not open. connected says that TCP did.
func dialError(address string, connected bool, after time.Duration, resp *http.Response, err error) error {
	e := &linkError{address: address, err: err}
	var dns *net.DNSError
	var errno syscall.Errno
	switch {
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		e.what = fmt.Sprintf("answers, but not as a websocket (HTTP %d)", resp.StatusCode)
		e.hint = "something other than OBS listens there; OBS's usual port is 4455"
	case connected && isTimeout(err):
		e.what = fmt.Sprintf("accepts the connection, but does not answer within %v", after)
		e.hint = hintFrozen
	case connected:
		e.what = "accepts the connection, but closes it before it is a websocket"
		e.hint = "something other than OBS may listen there; OBS's usual port is 4455"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.what, e.hint = "is not reachable: connection refused", hintEnable
	case errors.As(err, &dns):
		e.what, e.hint = "is not reachable: no address is known for "+dns.Name, hintNetwork
	case isTimeout(err):
		e.what, e.hint = fmt.Sprintf("is not reachable: no answer within %v", after), hintNetwork
	case errors.As(err, &errno):
		e.what, e.hint = "is not reachable: "+errno.Error(), hintNetwork
	default:
		e.what, e.hint = "is not reachable: "+err.Error(), hintNetwork
	}
	return e
}

// closedError explains why an open websocket ended.
func closedError(address string, err error) error {
	e := &linkError{address: address, err: err}
	var closed websocket.CloseError
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		e.what = "sent a message that is too large to be OBS's"
	case !errors.As(err, &closed):
		e.what, e.hint = "is not reachable: the connection broke off; OBS crashed or was killed, or the network failed",
			hintEnable
	case closed.Code == closeAuthFailed:
		e.what, e.hint, e.refused = "refuses the password", hintPassword, true
	case closed.Code == closeRPCVersion:
		e.what, e.hint = "does not speak version 1 of its protocol", hintVersion
	case closed.Code == closeInvalidated:
		e.what, e.hint = "has kicked this session out", "somebody pressed Kick in OBS's WebSocket Server Settings"
	case closed.Code == websocket.StatusGoingAway:
		e.what, e.hint = "is not reachable: OBS was closed, or its websocket server was switched off", hintEnable
	default:
		e.what = fmt.Sprintf("closed the connection with code %d", closed.Code)
	}
	return e
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &t) && t.Timeout()
}

// isCode reports whether err is OBS's refusal of a request with one of the codes.
func isCode(err error, codes ...int) bool {
	var r *requestError
	if !errors.As(err, &r) {
		return false
	}
	return slices.Contains(codes, r.Code)
}

func isRequestError(err error) bool { return errors.As(err, new(*requestError)) }
