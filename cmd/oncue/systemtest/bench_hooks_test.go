package systemtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// contender is one way to answer hooks.
type contender struct {
	name  string
	addr  string
	rates []float64       // answers a second, one for each round
	waits []time.Duration // of all answers
}

const benchStreams = 1000

// benchHooks measures durable answers beside an upper and a lower bound. The contenders take turns
// in short rounds, because disks and other programs vary; medians count.
func benchHooks(t *testing.T, table *table) {
	const rounds, length = 7, time.Second
	contenders := []*contender{
		{name: "Echo, no store", addr: serveEcho(t, func([]byte) error { return nil })},
		{name: "Echo, append and fdatasync", addr: serveEcho(t, newBareJournal(t))},
		{name: "oncue", addr: serveOncue(t)},
		{name: "Echo, one transaction each", addr: serveEcho(t, newSingleTransactions(t))},
	}
	var serial atomic.Int64
	for _, c := range contenders { // all streams are on, all buffers have their size
		c.round(t, 64, 2*length, &serial)
	}
	for _, conns := range []int{8, 64, 256} {
		for _, c := range contenders {
			c.rates, c.waits = nil, nil
		}
		for range rounds {
			for _, c := range contenders {
				c.round(t, conns, length, &serial)
			}
		}
		floor, journal, ours, single := contenders[0], contenders[1], contenders[2], contenders[3]
		what := fmt.Sprintf("durable answers, %d connections", conns)
		table.add(what, perSecond(ours), "no store: "+perSecond(floor), fmt.Sprintf("%.2f", ours.rate()/floor.rate()),
			"")
		table.add("", "", "bare journal: "+perSecond(journal), fmt.Sprintf("%.2f", ours.rate()/journal.rate()),
			goal("≥ 0.9", ours.rate() >= 0.9*journal.rate()))
		table.add("", "", "one transaction each: "+perSecond(single),
			fmt.Sprintf("%.1f times", ours.rate()/single.rate()),
			goal(fmt.Sprintf("≥ 7 times (the bare journal: %.1f)", journal.rate()/single.rate()),
				ours.rate() >= 7*single.rate()))
	}
}

func perSecond(c *contender) string {
	slices.Sort(c.waits)
	return fmt.Sprintf("%.0f/s, p50 %s, p99 %s", c.rate(), ms(c.waits[len(c.waits)/2]),
		ms(c.waits[len(c.waits)*99/100]))
}

func (c *contender) rate() float64 { return median(c.rates) }

// round has conns senders deliver hooks, each over its own connection and one after the other.
func (c *contender) round(t *testing.T, conns int, length time.Duration, serial *atomic.Int64) {
	t.Helper()
	waits := make([][]time.Duration, conns)
	start := time.Now()
	many(conns, func(i int) {
		sender, err := newSender(c.addr)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			return
		}
		defer sender.conn.Close()
		for now := time.Now(); now.Sub(start) < length; {
			if err := sender.deliver(serial.Add(1)); err != nil {
				t.Errorf("%s: %v", c.name, err)
				return
			}
			then := now
			now = time.Now()
			waits[i] = append(waits[i], now.Sub(then))
		}
	})
	all := slices.Concat(waits...)
	if len(all) == 0 {
		t.Fatalf("%s answered nothing", c.name)
	}
	c.rates = append(c.rates, float64(len(all))/time.Since(start).Seconds())
	c.waits = append(c.waits, all...)
}

// sender is one connection of a cheap load generator.
type sender struct {
	conn    net.Conn
	answers *bufio.Reader
	key     []byte
	body    []byte
	request []byte
}

func newSender(addr string) (*sender, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(testSecret.Reveal())
	return &sender{conn: conn, answers: bufio.NewReader(conn), key: key}, err
}

// deliver sends hook number n and reads the answer. Most are attempts; now and then a stream's
// viewers have gone.
func (s *sender) deliver(n int64) error {
	event := controller.HookAttempt
	switch n % 200 {
	case 50:
		event = controller.HookNoViewers
	case 150:
		event = controller.HookFirstViewer
	}
	name := strconv.AppendInt([]byte("s"), n*7919%benchStreams, 10)
	s.body = fmt.Appendf(s.body[:0],
		`{"type":"viewerConnection","event":"%s","timestamp":%d,`+
			`"data":{"name":"%s","accountId":"%s","streamId":"%s/%s","serial":%d}}`,
		event, time.Now().UnixMilli(), name, testAccount, testAccount, name, n)
	mac := hmac.New(sha1.New, s.key)
	mac.Write(s.body)
	s.request = fmt.Appendf(s.request[:0],
		"POST %s HTTP/1.1\r\nHost: oncue\r\nContent-Type: application/json\r\n%s: sha1=%x\r\nContent-Length: "+
			"%d\r\n\r\n%s",
		millicast.HookPath, millicast.SignatureHeader, mac.Sum(nil), len(s.body), s.body)
	if _, err := s.conn.Write(s.request); err != nil {
		return err
	}
	return s.answer()
}

// answer reads one answer, which must be a 200.
func (s *sender) answer() error {
	line, err := s.answers.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return errors.New(strings.TrimSpace(string(line)))
	}
	length := 0
	for {
		line, err = s.answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			_, err = s.answers.Discard(length)
			return err
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
}

// serveEcho answers hooks with Echo alone: signature checked, body handed to take.
func serveEcho(t *testing.T, take func(body []byte) error) (addr string) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(testSecret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.POST(millicast.HookPath, func(c echo.Context) error {
		body, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		sig, err := hex.DecodeString(strings.TrimPrefix(c.Request().Header.Get(millicast.SignatureHeader), "sha1="))
		mac := hmac.New(sha1.New, key)
		mac.Write(body)
		if err != nil || !hmac.Equal(sig, mac.Sum(nil)) {
			return echo.ErrUnauthorized
		}
		if err := take(body); err != nil {
			return err
		}
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, []byte(`{"status":"accepted"}`))
	})
	l := listen(t)
	server := &http.Server{Handler: e}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serveOncue answers hooks with the daemon's whole path, in this process so that all contenders
// have the same heap and load generator.
func serveOncue(t *testing.T) (addr string) {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text,
		"listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ndata_dir: %q\naccounts: {%s: {webhook_secrets: "+
			"[%q]}}\ndefaults: {confirm: encoder}\nencoders:\n",
		t.TempDir(), testAccount, testSecret.Reveal())
	for n := range benchStreams {
		fmt.Fprintf(&text, "  box%d: {fake: {}}\n", n)
	}
	text.WriteString("streams:\n")
	for n := range benchStreams {
		fmt.Fprintf(&text, "  s%d: {encoder: box%d}\n", n, n)
	}
	file := filepath.Join(t.TempDir(), "oncue.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := configs.Load(file, daemon.DriverSettings())
	if err != nil {
		t.Fatal(err)
	}
	d, err := daemon.Start(context.Background(), cfg, daemon.Options{Log: io.Discard, KeepAlive: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d.HookAddr.String()
}

// newBareJournal appends hooks to a file, all that wait at once, and syncs it: the physical limit
// of a durable answer.
func newBareJournal(t *testing.T) func([]byte) error {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	type group struct {
		data []byte
		done chan struct{}
		err  error
	}
	var mu sync.Mutex
	var gathering *group
	wake := make(chan struct{}, 1)
	t.Cleanup(func() { close(wake); f.Close() })
	go func() {
		for range wake {
			mu.Lock()
			g := gathering
			gathering = nil
			mu.Unlock()
			if _, g.err = f.Write(g.data); g.err == nil {
				g.err = unix.Fdatasync(int(f.Fd()))
			}
			close(g.done)
		}
	}()
	return func(body []byte) error {
		mu.Lock()
		first := gathering == nil
		if first {
			gathering = &group{done: make(chan struct{})}
		}
		g := gathering
		g.data = append(append(g.data, body...), '\n')
		mu.Unlock()
		if first {
			wake <- struct{}{}
		}
		<-g.done
		return g.err
	}
}

// newSingleTransactions stores each hook in a transaction of its own.
func newSingleTransactions(t *testing.T) func([]byte) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "single.db")
	db, err := sql.Open("sqlite3", "file:"+file+
		"?_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_busy_timeout=10000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE journal (seq INTEGER PRIMARY KEY, received INTEGER, body BLOB)"); err != nil {
		t.Fatal(err)
	}
	return func(body []byte) error {
		_, err := db.Exec("INSERT INTO journal (received, body) VALUES (?, ?)", time.Now().UnixMilli(), body)
		return err
	}
}
