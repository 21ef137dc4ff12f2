package relay

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// What is said at the socket, one line each. The first line says who connects; a relay answers a
// controller with reports, and a publisher with its stream.
const (
	asController = "controller"
	asPublisher  = "publisher"
	sayHangUp    = "hang up"
	sayEnd       = "end"
)

// Report is what a relay tells its controllers, at every change and every second.
type Report struct {
	Protocol      int
	Mark          string   // of its order
	PID           int      // the relay's
	Reader        int      // the reader's; 0 when there is none now
	Ready         bool     // a publisher would get a picture at once
	AgeMS         int64    // since the newest picture came; -1 when none is kept
	BeginsMS      int64    // how old the picture is with which a publisher would begin; -1 likewise
	Bytes         int64    // kept
	BitsPerSecond int64    // of the input
	Why           string   // why it is not ready, unless a reader has ended
	Ended         string   // how the last reader ended, if none is there now
	Said          []string // that reader's last lines, unmasked
}

// Spawn says how to start a relay: what the driver gives every process that it starts.
type Spawn func(files []*os.File) error

// Begin starts a relay with the order and returns when its socket is there. The caller has the
// lock.
func Begin(o Order, lock, log *os.File, spawn Spawn) error {
	for _, dir := range []string{o.Folder, filepath.Join(o.Folder, tmpDir)} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	order, err := textPipe(string(text))
	if err != nil {
		return fmt.Errorf("hand over the order: %w", err)
	}
	defer order.Close()
	said, say, err := os.Pipe()
	if err != nil {
		return err
	}
	defer said.Close()
	err = spawn([]*os.File{order, say, log, lock})
	say.Close()
	if err != nil {
		return err
	}
	_ = said.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := bufio.NewReader(said).ReadString('\n'); err != nil {
		return errors.New("it ends at once; the encoder's log says why")
	}
	return nil
}

// Folders returns what a relay of the folder may write: its own, and the reader's in it.
func Folders(folder string) (own, readers string) { return folder, filepath.Join(folder, tmpDir) }

// Link is a controller's connection to a relay.
type Link struct {
	conn    net.Conn
	reports *json.Decoder
}

// Dial connects to the relay of a folder.
func Dial(folder string) (*Link, error) {
	f, err := dial(folder, asController)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return &Link{conn, json.NewDecoder(conn)}, nil
}

// silence is how long a relay may say nothing; it has something to say every second.
const silence = 5 * time.Second

// Next waits for the next report, at most for the limit; 0 means as long as one can take. After an
// error the relay is gone or hangs, or the link is closed.
func (l *Link) Next(limit time.Duration) (r Report, err error) {
	_ = l.conn.SetReadDeadline(time.Now().Add(cmp.Or(limit, silence)))
	return r, l.reports.Decode(&r)
}

// HangUp ends the streams of all publishers.
func (l *Link) HangUp() { l.say(sayHangUp) }

// End ends the relay, with its reader.
func (l *Link) End() { l.say(sayEnd) }

func (l *Link) say(line string) {
	_ = l.conn.SetWriteDeadline(time.Now().Add(time.Second)) // one that hangs is dealt with by its lock
	_, _ = l.conn.Write([]byte(line + "\n"))
}

// Close ends the connection. The relay stays.
func (l *Link) Close() { l.conn.Close() }

// Publisher connects for a publisher, which reads its stream from the file: at once if the relay is
// ready, else as soon as it is.
func Publisher(folder string) (*os.File, error) { return dial(folder, asPublisher) }

// dial connects to the socket, whose path may be longer than an address can hold. The file does not
// make its readers wait in any other way than by waiting.
func dial(folder, as string) (*os.File, error) {
	dir, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: folder, Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	at := &unix.SockaddrUnix{Name: filepath.Join("/proc/self/fd", strconv.Itoa(dir), socketFile)}
	if err := unix.Connect(fd, at); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "connect", Path: filepath.Join(folder, socketFile), Err: err}
	}
	f := os.NewFile(uintptr(fd), "relay")
	if _, err := f.WriteString(as + "\n"); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
