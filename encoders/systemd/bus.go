package systemd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
)

// The names of systemd on the bus. Source: org.freedesktop.systemd1(5).
const (
	systemdName = "org.freedesktop.systemd1"
	managerPath = dbus.ObjectPath("/org/freedesktop/systemd1")
	manager     = systemdName + ".Manager."
	properties  = "org.freedesktop.DBus.Properties"
)

// dialLimit is how long the bus has to greet a new connection.
const dialLimit = 5 * time.Second

// Bus is a connection to the host's system bus that the encoders of a process share: the bus admits
// only so many of one user. It is made at first use, again after it was lost, and closed with the
// last encoder.
type Bus struct {
	address string        // "": where this host has it
	turn    chan struct{} // holds one token while a connection is made

	mu      sync.Mutex
	link    *link
	byPath  map[dbus.ObjectPath]map[*Encoder]bool // who follows which unit, on link
	members map[*Encoder]bool                     // who has used the bus and is not closed
}

// link is one connection.
type link struct {
	*dbus.Conn
	end context.CancelFunc // closes it
}

// NewBus returns the host's system bus. It does not connect.
func NewBus() *Bus { return &Bus{turn: make(chan struct{}, 1), members: map[*Encoder]bool{}} }

// connect returns the connection, made now if there is none.
func (b *Bus) connect(ctx context.Context, e *Encoder) (*link, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.mu.Lock()
	l := b.link
	closed := e.closed.Load()
	if !closed {
		b.members[e] = true
	}
	b.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if l != nil && l.Connected() {
		return l, nil
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	l, err := b.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("the system bus (D-Bus): %w", err)
	}
	b.mu.Lock()
	b.link, b.byPath = l, map[dbus.ObjectPath]map[*Encoder]bool{}
	b.mu.Unlock()
	context.AfterFunc(l.Context(), func() { b.lost(l) })
	if err := b.subscribe(ctx, l); err != nil {
		l.end()
		return nil, err
	}
	return l, nil
}

// dial makes a connection and greets the bus, which may be frozen.
func (b *Bus) dial(ctx context.Context) (*link, error) {
	whole, end := context.WithCancel(context.Background())
	options := []dbus.ConnOption{dbus.WithContext(whole), dbus.WithSignalHandler(b)}
	done := make(chan error, 1)
	l := &link{end: end}
	go func() {
		var err error
		if address := cmp.Or(b.address, os.Getenv("DBUS_SYSTEM_BUS_ADDRESS")); address != "" {
			l.Conn, err = dbus.Connect(address, options...)
		} else {
			l.Conn, err = dbus.ConnectSystemBus(options...)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			end()
			return nil, err
		}
		return l, nil
	case <-ctx.Done():
		end()
		return nil, ctx.Err()
	}
}

// subscribe asks the bus for the signals about units, and systemd to send them: it sends none until
// somebody asks.
func (b *Bus) subscribe(ctx context.Context, l *link) error {
	for _, rule := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(systemdName), dbus.WithMatchInterface(properties),
			dbus.WithMatchPathNamespace(managerPath + "/unit")},
		{dbus.WithMatchSender(systemdName), dbus.WithMatchInterface(systemdName + ".Manager"),
			dbus.WithMatchMember("JobRemoved")},
		{dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"),
			dbus.WithMatchArg(0, systemdName)},
	} {
		if err := l.AddMatchSignalContext(ctx, rule...); err != nil {
			return fmt.Errorf("the system bus (D-Bus): %w", err)
		}
	}
	err := l.call(ctx, managerPath, manager+"Subscribe")
	if isError(err, systemdName+".AlreadySubscribed") {
		return nil
	}
	return err
}

// call calls a method of systemd.
func (l *link) call(ctx context.Context, path dbus.ObjectPath, method string, args ...any) error {
	return l.ask(ctx, path, method, nil, args...)
}

// ask is call for a method that returns something.
func (l *link) ask(ctx context.Context, path dbus.ObjectPath, method string, answer any, args ...any) error {
	call := l.Object(systemdName, path).CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...)
	if call.Err == nil && answer != nil {
		call.Err = call.Store(answer)
	}
	return call.Err
}

// place is where a unit is, for an encoder that follows it.
type place struct {
	link   *link
	name   string
	path   dbus.ObjectPath
	judged atomic.Bool // a reading that began after the first signal could come was judged
}

// follow returns where a unit is. Its signals wake e from now on.
func (b *Bus) follow(ctx context.Context, e *Encoder, name string) (*place, error) {
	l, err := b.connect(ctx, e)
	if err != nil {
		return nil, err
	}
	if p := e.at.Load(); p != nil && p.link == l && p.name == name {
		return p, nil
	}
	p := &place{link: l, name: name}
	if err := l.ask(ctx, managerPath, manager+"LoadUnit", &p.path, name); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link == l && b.members[e] {
		if b.byPath[p.path] == nil {
			b.byPath[p.path] = map[*Encoder]bool{}
		}
		b.byPath[p.path][e] = true
		e.at.Store(p)
	}
	return p, nil
}

// DeliverSignal implements [dbus.SignalHandler]. It is called in the order in which the bus sends,
// and before the answer to a later call is: so whoever reads a unit because of a signal knows every
// job that had ended by then.
func (b *Bus) DeliverSignal(_, member string, s *dbus.Signal) {
	switch member {
	case "PropertiesChanged":
		var of string
		var changed map[string]dbus.Variant
		var unread []string
		if dbus.Store(s.Body, &of, &changed, &unread) != nil {
			return
		}
		if active, ok := changed["ActiveState"].Value().(string); ok {
			for _, e := range b.followers(s.Path) {
				e.signalled(active)
			}
		}
		b.wake(s.Path)
	case "JobRemoved":
		var id uint32
		var job dbus.ObjectPath
		var unit, result string
		if dbus.Store(s.Body, &id, &job, &unit, &result) != nil {
			return
		}
		path := unitPath(unit)
		for _, e := range b.followers(path) {
			e.jobEnded(job, result)
		}
		b.wake(path)
	case "NameOwnerChanged": // systemd was executed anew, and has forgotten who listens
		b.mu.Lock()
		l := b.link
		b.mu.Unlock()
		if l == nil || len(s.Body) != 3 || s.Body[2] == "" {
			return
		}
		go func() {
			ctx, cancel := context.WithTimeout(l.Context(), dialLimit)
			defer cancel()
			if err := l.call(ctx, managerPath, manager+"Subscribe"); err != nil &&
				!isError(err, systemdName+".AlreadySubscribed") {
				l.end() // the next use makes another
			}
			b.wakeAll()
		}()
	}
}

func (b *Bus) followers(path dbus.ObjectPath) []*Encoder {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*Encoder, 0, len(b.byPath[path]))
	for e := range b.byPath[path] {
		list = append(list, e)
	}
	return list
}

func (b *Bus) wake(path dbus.ObjectPath) {
	for _, e := range b.followers(path) {
		e.wake()
	}
}

func (b *Bus) wakeAll() {
	b.mu.Lock()
	list := make([]*Encoder, 0, len(b.members))
	for e := range b.members {
		list = append(list, e)
	}
	b.mu.Unlock()
	for _, e := range list {
		e.wake()
	}
}

// lost tells everybody that a connection has ended.
func (b *Bus) lost(l *link) {
	l.end()
	b.mu.Lock()
	if b.link == l {
		b.link, b.byPath = nil, nil
	}
	b.mu.Unlock()
	b.wakeAll()
}

// leave forgets an encoder. The last one closes the connection.
func (b *Bus) leave(e *Encoder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.members, e)
	if at := e.at.Load(); at != nil {
		delete(b.byPath[at.path], e)
		if len(b.byPath[at.path]) == 0 {
			delete(b.byPath, at.path)
		}
	}
	if len(b.members) == 0 && b.link != nil {
		b.link.end()
	}
}

// unitPath is the path of a unit's object. Source: sd_bus_path_encode(3).
func unitPath(name string) dbus.ObjectPath {
	out := []byte(managerPath + "/unit/")
	for i := range len(name) {
		if c := name[i]; 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' && i > 0 {
			out = append(out, c)
		} else {
			out = fmt.Appendf(out, "_%02x", c)
		}
	}
	return dbus.ObjectPath(out)
}

// isError reports whether systemd or the bus answered with one of these errors.
func isError(err error, names ...string) bool {
	var e dbus.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, name := range names {
		if e.Name == name {
			return true
		}
	}
	return false
}

// denied reports whether polkit does not let this user do it, or nobody has asked polkit.
func denied(err error) bool {
	return isError(err, "org.freedesktop.DBus.Error.AccessDenied",
		"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")
}

// noBus reports whether this host has no system bus, or no systemd on it.
func noBus(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || isError(err, "org.freedesktop.DBus.Error.ServiceUnknown",
		"org.freedesktop.DBus.Error.NameHasNoOwner")
}
