package httpapi

import (
	"errors"
	"net/http"
	"sync"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// Encoder is a box behind an HTTP API.
type Encoder struct {
	*boxes.Life // Start, Stop, Status and Watch

	// set at construction
	plan      *plan
	env       encoders.Env
	devices   *Devices
	wire      *wire
	transport http.RoundTripper // wire, or digest authentication around it
	session   session

	mu   sync.Mutex
	show func(TraceEntry)
}

// Devices makes all encoders of one process take turns at each box. The zero value is ready. A
// process needs one Devices.
type Devices struct{ boxes boxes.Devices }

// New opens a box on its own; see [Devices.New].
func New(settings Settings, env encoders.Env) (*Encoder, error) {
	return new(Devices).New(settings, env)
}

// New opens a box; it does not talk to it yet. Encoders of one Devices take turns at a box.
func (d *Devices) New(settings Settings, env encoders.Env) (*Encoder, error) {
	p, errs := compile(settings)
	if len(errs) > 0 {
		return nil, encoders.Permanent(errors.Join(errs...))
	}
	w, transport, err := newTransport(p, env.Guard)
	if err != nil {
		return nil, encoders.Permanent(err)
	}
	e := &Encoder{plan: p, env: env, devices: d, wire: w, transport: transport}
	e.Life, err = boxes.NewLife(settings.Manners, settings.Status.StallAfter, env,
		func(job encoders.Job, step boxes.Step) boxes.Talk { return e.call(job, step) })
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Close closes idle connections.
func (e *Encoder) Close() error {
	e.wire.CloseIdleConnections()
	return nil
}
