// Package sandbox starts processes that can touch only what they were given, so that a program
// which reads hostile video is not the one that started it.
//
// A [Policy] lists what a process may have; [Policy.Do] starts it. The kernel denies the rest:
// Landlock denies files, TCP ports, signals and the memory of other processes, and a seccomp filter
// denies the few calls that Landlock does not cover. Neither needs a privilege, and every process
// that the confined one starts inherits both. What a kernel cannot deny stays open, and [Describe]
// names it.
package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Policy says what a process may use in addition to [Base]. Missing paths are ignored. A path means
// what is there when the process starts: a file that replaces it later is not allowed. A folder
// means all that is ever in it.
type Policy struct {
	Read    []string // files and folders to read and to execute
	Write   []string // files and folders to read, execute and change
	Devices []string // device files, and folders of them
	Names   []string // folders in which it may see what there is, and not what it holds
	Ports   []int    // TCP ports to connect to and to listen on
	Sockets bool     // it may use unix sockets
}

// Base is what every process may read: programs, libraries, and the files needed to resolve a host
// or to find a font. It has no folder that other users may write to.
var Base = []string{
	"/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/libexec",
	"/usr/share", "/usr/local/bin",
	"/usr/local/sbin", "/usr/local/lib", "/usr/local/lib64", "/usr/local/libexec", "/usr/local/share",
	"/usr/local/cuda", "/bin", "/sbin", "/lib",
	"/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/run/current-system", "/run/opengl-driver",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload",
	"/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path",
	"/etc/localtime", "/etc/timezone", "/etc/passwd", "/etc/group", "/etc/services", "/etc/protocols",
	"/etc/os-release", "/etc/mime.types",
	"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/nsswitch.conf",
	"/run/systemd/resolve", "/run/resolvconf",
	"/run/NetworkManager", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ca-certificates",
	"/etc/pki/tls/certs", "/etc/pki/ca-trust",
	"/etc/crypto-policies", "/etc/gnutls", "/var/lib/ca-certificates", "/etc/fonts", "/var/cache/fontconfig",
	"/etc/alsa", "/etc/asound.conf",
	"/etc/pulse", "/etc/OpenCL", "/etc/vulkan", "/etc/glvnd", "/etc/drirc", "/etc/python3", "/etc/java",
	"/etc/profile", "/etc/bash.bashrc",
	"/run/udev/data", "/sys",
	"/proc", // of other processes it shows only what all users may see
}

// baseDevices are the devices that every process has.
var baseDevices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// Do runs start in a thread that is confined to the policy, so that the process which start forks
// is confined, too. So is everything else in start: it should open nothing. The thread ends
// afterwards. On a kernel without Landlock, start runs unconfined.
func (p Policy) Do(start func() error) error {
	if abi() == 0 {
		return start()
	}
	var r *room
	if p.Sockets { // few policies do
		r = newConfined(true)
	} else {
		r = confined.next()
		defer func() { go confined.refill() }()
	}
	if r.err == nil {
		r.err = errors.Join(r.rules.renew(), r.rules.add(p))
	}
	return r.run(start)
}

// kept are the capabilities that a root process keeps. Others would lead out of the sandbox:
// CAP_PERFMON, for example, reads memory.
var kept = map[uintptr]bool{
	unix.CAP_DAC_OVERRIDE: true, unix.CAP_NET_BIND_SERVICE: true, unix.CAP_SYS_NICE: true, unix.CAP_IPC_LOCK: true,
	unix.CAP_SETUID: true, unix.CAP_SETGID: true,
}

// giveUp drops what no policy allows, for the calling thread.
func giveUp(sockets bool) error {
	dropCapabilities()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return filterFor(sockets).install()
}

// dropCapabilities makes processes that the thread starts lose all capabilities but kept.
func dropCapabilities() {
	for c := uintptr(0); unix.Prctl(unix.PR_CAPBSET_READ, c, 0, 0, 0) == nil; c++ {
		if kept[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EPERM) {
			break // without privileges, a child gets no capabilities
		}
	}
}

// onThread runs f on a new thread, which ends afterwards. It is never the first thread of the
// process: /proc/PID shows that one, and it cannot end.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread() // without an unlock, so that the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			f()
		}()
		<-locked // this goroutine holds the first thread, so the other one has a different thread
		runtime.UnlockOSThread()
	}()
}

// Available reports whether this kernel can confine a process.
func Available() bool { return abi() > 0 }

// Describe names what confines processes on this kernel, and lists in open what it cannot deny
// them; open is empty when it covers everything.
func Describe() (by string, open []string) {
	v := abi()
	if v == 0 {
		return "", nil
	}
	by = fmt.Sprintf("Landlock %d", v)
	if filterKnown {
		by += " and seccomp"
	} else {
		open = append(open, "unix sockets, and the modes of files")
	}
	if v < abiPorts {
		open = append(open, "TCP ports, the admin side's among them (Linux 6.7 and later)")
	}
	if v < abiScopes {
		open = append(open, "signals to other processes of the same user (Linux 6.12 and later)")
	}
	return by, open
}

// Holds reports whether folder is, or contains, any of the paths. None of them may contain links:
// see [Real].
func Holds(folder string, paths []string) bool {
	inside := strings.TrimSuffix(folder, "/") + "/"
	return slices.ContainsFunc(paths, func(p string) bool { return p == folder || strings.HasPrefix(p, inside) })
}

// Real returns path as an absolute path with its links resolved, as far as it exists.
func Real(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	real, err := filepath.EvalSymlinks(abs)
	switch {
	case err == nil:
		return real
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(abs) != abs:
		return filepath.Join(Real(filepath.Dir(abs)), filepath.Base(abs))
	}
	return abs
}

// IsSocket reports whether a unix socket is at path.
func IsSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == fs.ModeSocket
}
