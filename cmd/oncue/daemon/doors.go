package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller/web"
)

// doors are the listeners of both sides. They belong to the servers once those serve.
type doors struct{ hooks, admin []net.Listener }

func openDoors(sockets *web.Sockets, cfg *configs.Config) (d doors, err error) {
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.admin, err = sockets.Listen(cfg.Admin.Listen, web.SocketAdmin); err != nil {
		return d, ListenError("admin.listen", cfg.Admin.Listen, err)
	}
	if file := cfg.Admin.Socket; file != "" {
		more, err := sockets.Listen("unix:"+file, web.SocketAdmin)
		if err != nil {
			return d, ListenError("admin.socket", file, err)
		}
		d.admin = append(d.admin, more...)
	}
	if d.hooks, err = sockets.Listen(cfg.Listen, web.SocketHooks); err != nil {
		return d, ListenError("listen", cfg.Listen, err)
	}
	return d, nil
}

// close may be called twice, and on listeners that were served.
func (d doors) close() {
	for _, l := range append(d.hooks[:len(d.hooks):len(d.hooks)], d.admin...) {
		_ = l.Close()
	}
}

// ListenError names the key and the address, with the hint that fits the cause.
func ListenError(key, addr string, err error) error {
	file, unix := strings.CutPrefix(addr, "unix:")
	unix = unix || strings.HasPrefix(addr, "/")
	_, port, _ := net.SplitHostPort(addr)
	number, _ := strconv.Atoi(port)
	return term.Hint(fmt.Errorf("%s %s: %w", key, addr, err), listenHint(err, cmp.Or(file, addr), unix, number))
}

func listenHint(err error, addr string, unix bool, port int) string {
	switch {
	case errors.Is(err, web.ErrNoSocket):
		return "systemctl start oncue.socket oncue.service starts it with its socket; " +
			`to run it by hand, write an address such as ":8080"`
	case errors.Is(err, os.ErrPermission) && unix:
		return fmt.Sprintf("the user of this process may not make a file there: "+
			"give it the folder of %s, or write another path", addr)
	case errors.Is(err, os.ErrPermission) && port > 0 && port < 1024:
		return fmt.Sprintf("port %d is below 1024, which takes root or CAP_NET_BIND_SERVICE; take a higher port "+
			"behind a proxy, or let systemd open it: listen: systemd, with ListenStream=%d in oncue.socket", port, port)
	case errors.Is(err, os.ErrPermission):
		return "the system forbids this process to listen there: a sandbox or a security module"
	case errors.Is(err, syscall.EADDRINUSE) && unix:
		return "another process answers there, or what is there is no socket; " +
			"another oncue may run: systemctl status oncue"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process uses the address: ss -ltnp shows which; another oncue may run: systemctl status oncue"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "it is not an address of this host: ip addr shows those that are"
	case errors.Is(err, os.ErrNotExist) && unix:
		return fmt.Sprintf("make the folder of %s first", addr)
	}
	return "write HOST:PORT with an address of this host, unix:/PATH, or systemd"
}
