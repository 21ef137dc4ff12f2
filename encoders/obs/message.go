package obs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/oncue/oncue/configs/secret"
)

// The words of obs-websocket 5, from its protocol document ("docs/generated/protocol.md" in
// obs-websocket).
const (
	opHello      = 0
	opIdentify   = 1
	opIdentified = 2
	opEvent      = 5
	opRequest    = 6
	opResponse   = 7

	rpcVersion = 1

	// subscriptions: General (ExitStarted), Config (changes of profile and scene collection),
	// Outputs (StreamStateChanged).
	subscriptions = 1<<0 | 1<<1 | 1<<6

	closeAuthFailed  = 4009
	closeRPCVersion  = 4010
	closeInvalidated = 4011

	codeNotReady      = 207 // obs-websocket ≥ 5.3, while OBS starts, exits or changes its scene collection
	codeOutputRunning = 500
	codeOutputStopped = 501
	codeNotFound      = 600
)

// envelope is the outer shape of every message.
type envelope struct {
	Op int             `json:"op"`
	D  json.RawMessage `json:"d"`
}

// message is one message from OBS: at most one pointer is not nil. Of messages of other kinds, all
// are.
type message struct {
	hello      *hello
	identified *identified
	event      *event
	response   *response
}

type hello struct {
	WebSocketVersion string     `json:"obsWebSocketVersion"`
	RPCVersion       int        `json:"rpcVersion"`
	Authentication   *challenge `json:"authentication"`
}

type challenge struct {
	Challenge string `json:"challenge"`
	Salt      string `json:"salt"`
}

// answer proves the password without showing it.
func (c challenge) answer(password secret.Value) string {
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	return hash(hash(password.Reveal()+c.Salt) + c.Challenge)
}

type identified struct {
	NegotiatedRPCVersion int `json:"negotiatedRpcVersion"`
}

type event struct {
	Type string          `json:"eventType"`
	Data json.RawMessage `json:"eventData"`
}

type response struct {
	ID     string `json:"requestId"`
	Type   string `json:"requestType"`
	Status struct {
		Result  bool   `json:"result"`
		Code    int    `json:"code"`
		Comment string `json:"comment"`
	} `json:"requestStatus"`
	Data json.RawMessage `json:"responseData"`
}

// parse reads one message from OBS. Its errors show nothing of the message, which may hold a stream
// key.
func parse(data []byte) (message, error) {
	var m message
	var e envelope
	if json.Unmarshal(data, &e) != nil {
		return m, fmt.Errorf("a message of %d bytes is not an obs-websocket 5 envelope", len(data))
	}
	var into any
	switch e.Op {
	case opHello:
		m.hello = &hello{}
		into = m.hello
	case opIdentified:
		m.identified = &identified{}
		into = m.identified
	case opEvent:
		m.event = &event{}
		into = m.event
	case opResponse:
		m.response = &response{}
		into = m.response
	default:
		return m, nil
	}
	if json.Unmarshal(e.D, into) != nil {
		return message{}, fmt.Errorf("a message with op %d of %d bytes is not as obs-websocket 5 describes it",
			e.Op, len(data))
	}
	return m, nil
}

// encode writes one message to OBS.
func encode(op int, d any) ([]byte, error) {
	return json.Marshal(struct {
		Op int `json:"op"`
		D  any `json:"d"`
	}{op, d})
}

type identify struct {
	RPCVersion         int    `json:"rpcVersion"`
	Authentication     string `json:"authentication,omitempty"`
	EventSubscriptions int    `json:"eventSubscriptions"`
}

type request struct {
	Type string `json:"requestType"`
	ID   string `json:"requestId"`
	Data any    `json:"requestData,omitempty"`
}

// requestError is OBS's refusal of one request.
type requestError struct {
	Type    string // the request's
	Code    int
	Comment string // OBS's own words
}

func (e *requestError) Error() string {
	why := e.Comment
	if why == "" {
		why = codeWords[e.Code]
	}
	if why == "" {
		return fmt.Sprintf("obs refused %s with code %d", e.Type, e.Code)
	}
	return fmt.Sprintf("obs refused %s with code %d: %s", e.Type, e.Code, why)
}

var codeWords = map[int]string{
	204:               "it does not know this request",
	codeNotReady:      "it is not ready yet",
	codeOutputRunning: "it is already streaming",
	codeOutputStopped: "it is not streaming",
	codeNotFound:      "there is no such thing in OBS",
}
