package relay

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/oncue/oncue/encoders/sandbox"
)

// Command is the one argument that makes this program a relay, see [Main].
const Command = "relay"

// Protocol is the version of what is said at the socket and in orders. A relay of another version
// is replaced.
const Protocol = 2

// The files of a relay's folder.
const (
	socketFile = "socket"
	tmpDir     = "tmp" // the reader's own
)

// Order is what a relay is told when it begins, on its standard input.
type Order struct {
	Protocol int             // of who gives the order
	Mark     string          // tells orders apart
	Folder   string          // the relay's own, 0700
	Binary   string          // FFmpeg's path
	Args     []string        // makes it write NUT to its standard output
	List     string          // read from ListFD, because it holds a secret; "" for none
	Policy   *sandbox.Policy // what the reader may use; nil: what the relay may
	Stall    time.Duration   // without a frame for so long, the reader is started anew; 0: never
	Limit    int64           // bytes of one group of pictures
	Patience time.Duration   // how long it stays when nobody is there
}

// fresh is how old the newest picture may be in a relay that is ready.
const fresh = 3 * time.Second

// opening is how long a reader may take to its first picture: FFmpeg looks at an input for up to
// five seconds before it begins, more where that has long groups of pictures.
const opening = 20 * time.Second

// The pause before a reader is started anew doubles from one to the other, and begins again after a
// reader that has brought pictures for so long.
const (
	pauseMin = 500 * time.Millisecond
	pauseMax = 10 * time.Second
	steady   = 3 * time.Second
)

// relay is the process at work.
type relay struct {
	order Order
	lock  *os.File
	ended chan struct{} // closed when it is to end
	once  sync.Once

	mu         sync.Mutex
	reader     *reader
	began      time.Time // of the reader
	container  *container
	kept       group
	given      bool      // the reader is given up: what it still brings counts no more
	tooBig     bool      // the group has outgrown the limit
	heard      time.Time // when the last picture came, or the reader began
	newest     time.Time // when the newest picture came; zero: none is kept
	rate       rate
	why        string   // why the last reader ended
	said       []string // its last lines
	publishers map[*publisher]bool
	watchers   map[chan struct{}]bool // one for each controller, told of news
	alone      time.Time              // since when there is neither controller nor publisher
}

// Main is the process: it reads its order from standard input, holds the lock behind descriptor 3,
// says on standard output when its socket is there, and returns the exit code at its end.
func Main() int {
	save()
	var order Order
	err := json.NewDecoder(os.Stdin).Decode(&order)
	if err == nil && order.Protocol != Protocol {
		err = fmt.Errorf("the order is of protocol %d, and this program knows %d", order.Protocol, Protocol)
	}
	if err == nil {
		err = os.Chdir(order.Folder)
	}
	if err == nil {
		err = run(order, os.NewFile(lockFD, "lock"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		return 1
	}
	return 0
}

func run(order Order, lock *os.File) error {
	_ = os.Remove(socketFile) // of one that was killed; the lock says that it is gone
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", socketFile)
	syscall.Umask(old)
	if err != nil {
		return err
	}
	defer l.Close()
	r := &relay{order: order, lock: lock, ended: make(chan struct{}), publishers: map[*publisher]bool{},
		watchers: map[chan struct{}]bool{}, alone: time.Now()}
	fmt.Println("ready") // nobody may read it any more
	_ = os.Stdout.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() { <-stop; r.end() }()
	go r.accept(l)
	go r.care()
	r.read()
	return nil
}

func (r *relay) end() { r.once.Do(func() { close(r.ended) }) }

func (r *relay) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// read runs one reader after the other.
func (r *relay) read() {
	pause := pauseMin
	for !r.over() {
		began := time.Now()
		why := r.readOnce()
		if time.Since(began) > steady {
			pause = pauseMin
		}
		r.mu.Lock()
		r.why = why
		r.news()
		r.mu.Unlock()
		select {
		case <-r.ended:
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMax)
	}
}

// readOnce runs one reader to its end, and says why it ended.
func (r *relay) readOnce() string {
	p, err := begin(r.order, r.lock)
	if err != nil {
		return err.Error()
	}
	r.mu.Lock()
	now := time.Now()
	r.reader, r.began, r.heard, r.said = p, now, now, nil
	r.news()
	r.mu.Unlock()
	finished := make(chan struct{})
	go func() {
		select {
		case <-r.ended:
			p.end()
		case <-finished:
		}
	}()
	err = r.take(p)
	if !errors.Is(err, io.EOF) { // it goes on, and is not understood
		p.end()
		_, _ = io.Copy(io.Discard, p.out)
	}
	how := p.wait()
	close(finished)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	r.reader, r.container, r.given, r.said = nil, nil, false, p.words()
	if errors.Is(err, errNUT) {
		return err.Error()
	}
	return how
}

// forget drops what a reader has brought, and ends the streams of it. The caller holds mu.
func (r *relay) forget() {
	r.kept.drop()
	r.newest, r.tooBig, r.rate = time.Time{}, false, rate{}
	for p := range r.publishers {
		if p.begun {
			p.conn.Close()
		}
	}
}

// take takes what a reader reads, until it ends.
func (r *relay) take(p *reader) error {
	d, err := newDemuxer(p.out)
	if err != nil {
		return endOf(err)
	}
	r.mu.Lock()
	r.container = &d.container
	r.mu.Unlock()
	shed()
	for {
		f, err := d.next()
		if err != nil {
			return endOf(err)
		}
		r.frame(f)
	}
}

// endOf makes an end in the middle of a frame an end.
func endOf(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// frame keeps a frame and gives it to the publishers.
func (r *relay) frame(f frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.given {
		return
	}
	now := time.Now()
	r.rate.add(now, len(f.data))
	before := r.ready(now)
	picture := r.container.pictured(f)
	key := f.key && picture
	if picture {
		r.heard = now
	}
	if key {
		r.tooBig = false
	}
	if !r.tooBig {
		r.kept.add(r.container, f)
	}
	if r.kept.bytes > r.order.Limit {
		r.kept.drop()
		r.tooBig, r.newest = true, time.Time{}
	}
	if len(r.kept.frames) > 0 && picture {
		r.newest = now
	}
	for p := range r.publishers {
		if p.begun {
			p.add(f, key)
		} else {
			p.begin(r)
		}
	}
	if !before && r.ready(now) {
		r.news()
	}
}

// ready reports whether a publisher would get a picture at once. The caller holds mu.
func (r *relay) ready(now time.Time) bool { return !r.newest.IsZero() && now.Sub(r.newest) < fresh }

// care looks every second at what no event tells: silence, and whether anybody needs the relay.
func (r *relay) care() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-r.ended:
			return
		case now := <-tick.C:
			if _, err := os.Stat(socketFile); err != nil { // the folder was deleted
				r.end()
			}
			r.look(now)
		}
	}
}

func (r *relay) look(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.news()
	limit := r.order.Stall
	if limit > 0 && r.heard.Equal(r.began) {
		limit = max(limit, opening)
	}
	if r.reader != nil && !r.given && limit > 0 && now.Sub(r.heard) >= limit {
		r.given = true
		r.forget()
		r.reader.end()
	}
	if len(r.watchers) > 0 || len(r.publishers) > 0 {
		r.alone = now
	} else if now.Sub(r.alone) >= r.order.Patience {
		r.end()
	}
}

// news wakes those who report to controllers. The caller holds mu.
func (r *relay) news() {
	for w := range r.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// report is what a controller is told. The caller holds mu.
func (r *relay) report(now time.Time) Report {
	out := Report{Protocol: Protocol, Mark: r.order.Mark, PID: os.Getpid(), Ready: r.ready(now), AgeMS: -1,
		BeginsMS: -1, Bytes: r.kept.bytes, BitsPerSecond: r.rate.bits(now), Said: r.said}
	if r.reader != nil {
		out.Reader = r.reader.process.Pid
	}
	if !r.newest.IsZero() {
		from, to := r.kept.span(r.container)
		age := now.Sub(r.newest)
		out.AgeMS, out.BeginsMS = age.Milliseconds(), age.Milliseconds()+int64((to-from)*1000)
	}
	silent := now.Sub(r.heard)
	switch {
	case out.Ready:
	case r.reader == nil:
		out.Why, out.Ended = "the input is closed", r.why
	case r.tooBig:
		out.Why = fmt.Sprintf("its pictures since the last key frame take more than the %d MB that are kept",
			r.order.Limit>>20)
	case silent >= fresh || r.given:
		out.Why = fmt.Sprintf("the input has sent nothing for %d s", int(silent.Seconds()))
	case r.container == nil:
		out.Why = "the input is being opened"
	case r.newest.IsZero():
		out.Why = fmt.Sprintf("no key frame has come for %d s", int(now.Sub(r.began).Seconds()))
	default:
		out.Why = "no picture comes"
	}
	return out
}

// accept serves those who connect.
func (r *relay) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go r.serve(conn)
	}
}

// serve does what the first line asks for.
func (r *relay) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(io.LimitReader(conn, 4096))
	if !lines.Scan() {
		return
	}
	switch lines.Text() {
	case asController:
		r.control(conn, lines)
	case asPublisher:
		p := &publisher{conn: conn, wake: make(chan struct{}, 1)}
		r.mu.Lock()
		r.publishers[p] = true
		if r.ready(time.Now()) {
			p.begin(r)
		}
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			delete(r.publishers, p)
			r.mu.Unlock()
		}()
		p.write()
	}
}

// control reports to a controller and does what it says, until it is gone.
func (r *relay) control(conn net.Conn, lines *bufio.Scanner) {
	watch := make(chan struct{}, 1)
	watch <- struct{}{}
	r.mu.Lock()
	r.watchers[watch] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.watchers, watch)
		r.mu.Unlock()
		close(watch)
	}()
	go func() {
		defer conn.Close()
		for range watch {
			r.mu.Lock()
			report := r.report(time.Now())
			r.mu.Unlock()
			_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second)) // a controller that was stopped
			if json.NewEncoder(conn).Encode(report) != nil {
				return
			}
		}
	}()
	for lines.Scan() {
		switch strings.TrimSpace(lines.Text()) {
		case sayEnd:
			r.end()
		case sayHangUp:
			r.mu.Lock()
			for p := range r.publishers {
				p.conn.Close()
			}
			r.mu.Unlock()
		}
	}
}

// publisher is one connection of a publisher.
type publisher struct {
	conn net.Conn
	wake chan struct{} // told when something is queued

	begun bool // guarded by relay.mu

	mu        sync.Mutex // guards what follows
	container *container
	head      []byte
	shift     []int64
	queue     []frame
	bytes     int64
	skipping  bool // until the next key frame
}

// queueLimit is how many bytes may wait for a publisher, beside one group. One that is slower than
// its input loses pictures up to a key frame then.
const queueLimit = 16 << 20

// begin gives the publisher what is kept, if anything is. The caller holds relay.mu.
func (p *publisher) begin(r *relay) {
	if len(r.kept.frames) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun, p.container, p.head = true, r.container, r.container.begin()
	p.queue, p.shift = r.kept.squeeze(r.container)
	for i := range p.queue {
		p.bytes += int64(len(p.queue[i].data))
		p.queue[i].pts -= p.shift[p.queue[i].stream] // write adds it
	}
	p.tell()
}

func (p *publisher) tell() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// add queues a frame.
func (p *publisher) add(f frame, key bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.skipping && !key {
		return
	}
	p.skipping = false
	if p.bytes+int64(len(f.data)) > queueLimit && len(p.queue) > 0 && !key {
		p.queue, p.bytes, p.skipping = nil, 0, true
		return
	}
	p.queue, p.bytes = append(p.queue, f), p.bytes+int64(len(f.data))
	p.tell()
}

// write writes what is queued, until the connection ends.
func (p *publisher) write() {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = p.conn.Read(make([]byte, 1)) // it says nothing more, so this is its end
	}()
	for {
		select {
		case <-p.wake:
		case <-gone:
			return
		}
		p.mu.Lock()
		out := net.Buffers{}
		if p.head != nil {
			out, p.head = append(out, p.head), nil
		}
		for _, f := range p.queue {
			f.pts += p.shift[f.stream]
			if f.pts >= 0 { // NUT knows no others
				out = append(out, p.container.head(f), f.data)
			}
		}
		p.queue, p.bytes = nil, 0
		p.mu.Unlock()
		if _, err := out.WriteTo(p.conn); err != nil {
			return
		}
	}
}

// rate measures bits per second over the last seconds.
type rate struct {
	from  time.Time
	bytes int64
	last  int64 // bits per second of the window before
}

const rateWindow = 5 * time.Second

func (w *rate) add(now time.Time, n int) {
	if w.from.IsZero() {
		w.from = now
	}
	if d := now.Sub(w.from); d >= rateWindow {
		w.last = w.bits(now)
		w.from, w.bytes = now, 0
	}
	w.bytes += int64(n)
}

func (w *rate) bits(now time.Time) int64 {
	d := now.Sub(w.from)
	switch {
	case w.from.IsZero():
		return 0
	case d >= rateWindow || w.last == 0 && d > 0:
		return int64(float64(w.bytes) * 8 / max(d.Seconds(), 1))
	}
	return w.last
}
