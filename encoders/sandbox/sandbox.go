// Package sandbox starts processes that can touch only what they were given, so that a program
// which reads hostile video is not the one that started it.
//
// A [Policy] lists what a process may have; [Policy.Do] starts it. The kernel holds the rest back:
// Landlock files, TCP ports, signals and the memory of other processes, and a seccomp filter the
// few calls that Landlock does not know. Neither needs a privilege, and both are inherited by all
// that the process starts. What a kernel cannot do is left out, and [Describe] says so.
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

// Policy says what a process may touch beside the [Base] that each one has. Paths that are not
// there are passed over. A path stands for what is there when the process is started: a file that
// takes its place later is another one. Folders stand for all that is ever in them.
type Policy struct {
	Read    []string // files and folders to read and to execute
	Write   []string // files and folders to read, execute and change
	Devices []string // device files, and folders of them
	Ports   []int    // TCP ports to connect to and to listen on
	Sockets bool     // it may use unix sockets
}

// Base is what each process may read: programs, libraries, and what finding a host or a font takes.
// It holds no folder that others write to.
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
	"/proc", // of other processes it shows what all users may see: what belongs to their user alone is kept back
}

// baseDevices are those that each process has.
var baseDevices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// Do runs start in a thread that has no more than the policy, so that the process which start forks
// has no more either. All else that start does is under the policy, too: it opens nothing. The
// thread ends with it. Where the kernel has no Landlock, start runs as it is.
func (p Policy) Do(start func() error) error {
	if abi() == 0 {
		return start()
	}
	var r *room
	if p.Sockets { // few policies have those
		r = newConfined(true)
	} else {
		r = confined.take()
		defer func() { go confined.refill() }()
	}
	if r.err == nil {
		r.err = errors.Join(r.rules.renew(), r.rules.add(p))
	}
	return r.run(start)
}

// kept are the capabilities that a process of root's keeps. With others it could look past its
// sandbox, CAP_PERFMON say into memory.
var kept = map[uintptr]bool{
	unix.CAP_DAC_OVERRIDE: true, unix.CAP_NET_BIND_SERVICE: true, unix.CAP_SYS_NICE: true, unix.CAP_IPC_LOCK: true,
	unix.CAP_SETUID: true, unix.CAP_SETGID: true,
}

// giveUp takes from the calling thread what no policy gives.
func giveUp(sockets bool) error {
	dropCapabilities()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return filterFor(sockets).install()
}

// dropCapabilities takes from what the thread starts all capabilities that are not kept.
func dropCapabilities() {
	for c := uintptr(0); unix.Prctl(unix.PR_CAPBSET_READ, c, 0, 0, 0) == nil; c++ {
		if kept[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EPERM) {
			break // we are nobody who could, and what we start gets none
		}
	}
}

// onThread has f run on a thread of its own, which ends afterwards. It is never the first thread of
// the process: that one is what /proc shows of us, and cannot end.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
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
		<-locked // we hold the first thread, so the other goroutine has another
		runtime.UnlockOSThread()
	}()
}

// Available reports whether this kernel can confine a process.
func Available() bool { return abi() > 0 }

// Describe says in a sentence what holds processes back here, and names what nothing does; open is
// empty when all is covered.
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

// Holds reports whether a folder holds any of the paths, or is one of them. All of them are without
// links: see [Real].
func Holds(folder string, paths []string) bool {
	inside := strings.TrimSuffix(folder, "/") + "/"
	return slices.ContainsFunc(paths, func(p string) bool { return p == folder || strings.HasPrefix(p, inside) })
}

// Real is an absolute path without links, as far as it exists.
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
