package systemtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

const plainCams = "encoders: {nvr: {fake: {}}}\ndefaults: {confirm: encoder, join_timeout: 10m}\nstreams: " +
	"{\"cam-*\": {encoder: nvr}}\n"

// tryHook sends one new hook and returns the status and how long it took. 0 means that nobody
// answered.
func (s *site) tryHook(name string) (status int, took time.Duration, body []byte) {
	s.t.Helper()
	body = viewerBody(name, time.Now().UnixNano())
	at := time.Now()
	status, _, err := s.post(body, millicast.ContentJSON, testSecret)
	if err != nil {
		status = 0
	}
	return status, time.Since(at), body
}

// chaosDiskFull fills the disk under the database, and frees it again.
func chaosDiskFull(c *chaos) {
	s := c.site
	if os.Getuid() != 0 {
		c.Skip("needs root, to mount a small file system")
	}
	if err := os.MkdirAll(s.data(), 0o700); err != nil {
		c.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", s.data(), "tmpfs", 0, "size=48m,mode=700"); err != nil {
		c.Skip("a small file system cannot be mounted: ", err)
	}
	c.Cleanup(func() {
		s.clear()
		if err := syscall.Unmount(s.data(), syscall.MNT_DETACH); err != nil {
			c.Error(err)
		}
	})
	s.configure(plainCams)
	s.start()
	s.hook(controller.HookAttempt, "cam-1")
	s.awaitPhase("cam-1", controller.PhaseLive)
	answered := map[string]bool{}
	var refused int
	var recovery time.Duration
	for range c.times(1, 5) {
		ballast := filepath.Join(s.data(), "somebody-elses")
		fill(c, ballast)
		s.await("a hook is refused", func() bool {
			fill(c, ballast) // what retention or the reserve has freed
			status, _, body := s.tryHook("cam-2")
			if status == http.StatusOK {
				answered[string(body)] = true
			}
			return status == http.StatusServiceUnavailable
		})
		for range 20 {
			status, _, body := s.tryHook("cam-2")
			if status == http.StatusOK {
				answered[string(body)] = true
			} else {
				refused++
			}
		}
		s.await("it says why it is not ready", func() bool {
			code, why := s.get("/readyz")
			return code == http.StatusServiceUnavailable && strings.Contains(string(why), "disk is full")
		})
		if v := s.see("cam-1"); v.Phase != controller.PhaseLive {
			c.Errorf("the full disk ended what was live: %s (%s)", v.Phase, v.Reason)
		}
		if err := os.Remove(ballast); err != nil {
			c.Fatal(err)
		}
		freed := time.Now()
		s.await("hooks are taken again", func() bool {
			status, _, body := s.tryHook("cam-2")
			if status == http.StatusOK {
				answered[string(body)] = true
			}
			return status == http.StatusOK
		})
		recovery = max(recovery, time.Since(freed))
		s.await("it is ready again", func() bool { code, _ := s.get("/readyz"); return code == http.StatusOK })
	}
	s.kill()
	lost := s.audit(answered)
	c.says("%d hooks refused, %d answered, %d lost; taken again %v after the space came", refused, len(answered), lost,
		recovery.Round(time.Millisecond))
	if lost > 0 {
		c.Errorf("%d answered hooks are lost", lost)
	}
}

// fill uses up all space of a file system.
func fill(c *chaos, path string) {
	c.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		c.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			c.Fatal(err)
		}
	}
}

// chaosDiskSlow makes every sync take long. Hooks share syncs, so all of them are answered in time.
func chaosDiskSlow(c *chaos) {
	s := c.site
	s.configure(plainCams)
	c.badDisk("DISK_SLOW_MS=300")
	s.start()
	l := s.load(64, loadClient(), "cam-1", "cam-2", "cam-3")
	pass(time.Duration(c.times(4, 15)) * time.Second)
	l.stop()
	s.kill()
	lost := s.audit(l.answered)
	p50, p99 := median(l.took), percentile(l.took, 99)
	c.says("300 ms a sync: %d hooks, %d failed, %d lost, p50 %v, p99 %v", l.sent.Load(), l.failed.Load(), lost,
		p50.Round(time.Millisecond), p99.Round(time.Millisecond))
	if lost > 0 || l.failed.Load() > l.sent.Load()/100 {
		c.Errorf("%d lost, failed: %v", lost, l.failures)
	}
}

// chaosDiskBroken makes the disk report errors for a while.
func chaosDiskBroken(c *chaos) {
	s := c.site
	s.configure(plainCams)
	broken := filepath.Join(s.dir, "broken")
	c.badDisk("DISK_BROKEN=" + broken)
	s.start()
	answered := map[string]bool{}
	take := func(want int) bool {
		status, _, body := s.tryHook("cam-1")
		if status == http.StatusOK {
			answered[string(body)] = true
		}
		return status == want
	}
	s.await("a hook is taken", func() bool { return take(http.StatusOK) })
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		c.Fatal(err)
	}
	s.await("hooks are refused", func() bool { return take(http.StatusServiceUnavailable) })
	s.await("it is not ready",
		func() bool { code, _ := s.get("/readyz"); return code == http.StatusServiceUnavailable })
	if err := os.Remove(broken); err != nil {
		c.Fatal(err)
	}
	mended := time.Now()
	s.await("hooks are taken again", func() bool { return take(http.StatusOK) })
	took := time.Since(mended)
	s.kill()
	lost := s.audit(answered)
	c.says("hooks refused while it lasts, taken again after %v, %d of %d lost", took.Round(time.Millisecond), lost,
		len(answered))
	if lost > 0 {
		c.Errorf("%d answered hooks are lost", lost)
	}
}

// chaosLocked has another process hold the database.
func chaosLocked(c *chaos) {
	s := c.site
	s.configure(plainCams)
	s.start()
	s.hook(controller.HookAttempt, "cam-1")
	s.awaitPhase("cam-1", controller.PhaseLive)
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(s.data(), "oncue.db")+"?_busy_timeout=10000&_txlock=exclusive")
	if err != nil {
		c.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		c.Fatal(err)
	}
	var slowest time.Duration
	refused := 0
	for end := time.Now().Add(time.Duration(c.times(4, 30)) * time.Second); time.Now().Before(end); {
		status, took, _ := s.tryHook("cam-2")
		slowest = max(slowest, took)
		if status != http.StatusServiceUnavailable {
			c.Errorf("answered with %d while the database is locked", status)
		}
		refused++
	}
	if code, why := s.get("/readyz"); code != http.StatusServiceUnavailable ||
		!strings.Contains(string(why), "locked") {
		c.Errorf("readyz says %d %s", code, why)
	}
	if v := s.see("cam-1"); v.Phase != controller.PhaseLive {
		c.Errorf("the lock ended what was live: %s", v.Reason)
	}
	if err := tx.Rollback(); err != nil {
		c.Fatal(err)
	}
	freed := time.Now()
	s.await("hooks are taken again", func() bool { status, _, _ := s.tryHook("cam-2"); return status == http.StatusOK })
	c.says("%d hooks refused, the slowest after %v; taken again after %v", refused, slowest.Round(time.Millisecond),
		time.Since(freed).Round(time.Millisecond))
	if slowest > 5*time.Second {
		c.Errorf("a refusal took %v", slowest)
	}
}

// chaosDamaged damages the files of a daemon that was killed.
func chaosDamaged(c *chaos) {
	s := c.site
	s.configure(plainCams)
	damages, slowest := 0, time.Duration(0)
	for range c.times(3, 40) {
		s.start()
		for n := range 20 {
			s.hook(controller.HookAttempt, fmt.Sprintf("cam-%d", n%3))
		}
		s.kill()
		file := filepath.Join(s.data(), []string{"oncue.db", "oncue.db-wal"}[c.random.IntN(2)])
		data, err := os.ReadFile(file)
		if err != nil || len(data) == 0 {
			continue
		}
		switch c.random.IntN(3) {
		case 0:
			for range 1 + c.random.IntN(200) {
				data[c.random.IntN(len(data))] ^= byte(1 + c.random.IntN(255))
			}
		case 1:
			data = data[:c.random.IntN(len(data))]
		case 2:
			page := c.random.IntN(len(data)/4096+1) * 4096
			clear(data[page:min(page+4096, len(data))])
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			c.Fatal(err)
		}
		damages++
		at := time.Now()
		s.start()
		s.await("a hook is taken", func() bool { status, _, _ := s.tryHook("cam-1"); return status == http.StatusOK })
		slowest = max(slowest, time.Since(at))
		s.awaitPhase("cam-1", controller.PhaseLive)
		s.kill()
	}
	moved, _ := filepath.Glob(filepath.Join(s.data(), "*.corrupt-*"))

	c.says("%d damages: always up again, the slowest after %v; %d files moved aside", damages,
		slowest.Round(time.Millisecond), len(moved))
}
