package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
)

const usualAdmin = "127.0.0.1:8081"

// ConfigFlag is that of every command that reads the configuration.
func ConfigFlag(cmd *cobra.Command) *string {
	path := cmd.Flags().String("config", configs.DefaultFile, "configuration `FILE`")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	return path
}

// Flags are those of every command that asks the daemon.
func Flags(cmd *cobra.Command) {
	ConfigFlag(cmd)
	cmd.Flags().String("token-file", "",
		"`FILE` whose first line is the admin token (default: ONCUE_ADMIN_TOKEN, or the configuration's)")
	_ = cmd.MarkFlagFilename("token-file")
}

// AdminFlag is one for all commands, so that it may stand before them.
func AdminFlag(root *cobra.Command) {
	root.PersistentFlags().String("admin", "",
		"`URL` of the daemon's admin side, or unix:/path (default: ONCUE_ADMIN, or the configuration's admin.listen)")
}

// Find makes a client from the flags, the environment and the configuration, in this order. It does
// not connect.
func Find(cmd *cobra.Command) (*Client, error) {
	flag := func(name string) string {
		if f := cmd.Flag(name); f != nil {
			return f.Value.String()
		}
		return ""
	}
	file := flag("config")
	configured, readErr := configs.ReadAdmin(file)
	address, named := configured.Listen, cmp.Or(flag("admin"), os.Getenv("ONCUE_ADMIN"))
	guess := ""
	switch {
	case named != "":
		address = named
	case readErr != nil && cmd.Flags().Changed("config"):
		if errors.Is(readErr, fs.ErrNotExist) {
			return nil, term.Hint(readErr,
				"--config names the daemon's configuration; --admin URL names its admin side instead")
		}
		if errors.Is(readErr, fs.ErrPermission) {
			return nil, term.Hint(readErr, term.MayRead)
		}
		return nil, readErr
	case readErr == nil && configured.Socket != "":
		address = "unix:" + configured.Socket
	case readErr != nil:
		address = usualAdmin
		guess = fmt.Sprintf("the address is the usual one, because %s cannot be read (%v)", file, rootCause(readErr))
		if errors.Is(readErr, fs.ErrPermission) {
			guess += "; use sudo, or join its group"
		}
	case address == "systemd":
		address, guess = usualAdmin, "the address is the usual one, because admin.listen is a socket of systemd's"
	}
	c, err := New(address)
	if err != nil {
		return nil, err
	}
	c.guess = guess
	c.Token, err = findToken(flag("token-file"))
	// The configured token is for the configured daemon, and not for any host that --admin names.
	if own := named == "" || c.local() || cmd.Flags().Changed("config"); err == nil && !c.Token.Set() && own {
		c.Token = configured.Token
	}
	return c, err
}

// rootCause is the last of a chain, the system's own words.
func rootCause(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

func findToken(file string) (secret.Value, error) {
	if file == "" {
		return secret.New(os.Getenv("ONCUE_ADMIN_TOKEN")), nil
	}
	return ReadSecret(file)
}

// ReadSecret reads a secret from the first line of a file.
func ReadSecret(path string) (secret.Value, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return secret.Value{}, fmt.Errorf("read a secret: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return secret.Value{}, fmt.Errorf("read a secret: the first line of %s is empty", path)
	}
	return secret.New(line), nil
}

// New takes a URL, unix:/path, or an address to listen on.
func New(address string) (*Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	c := &Client{http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		c.Base, c.Shown = "http://localhost", address
		return c, nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + Reachable(address)
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" ||
		u.Fragment != "" {
		return nil, term.Hint(term.Usage(fmt.Errorf("%q is not the address of an admin side", term.Harmless(address))),
			"write it like http://127.0.0.1:8081 or unix:/run/oncue/admin.sock")
	}
	c.Base = strings.TrimRight(u.String(), "/")
	c.Shown = c.Base
	return c, nil
}

// local reports whether the daemon is on this machine.
func (c *Client) local() bool {
	u, err := url.Parse(c.Base)
	if err != nil {
		return false
	}
	return LoopbackHost(u.Hostname())
}

func LoopbackHost(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// Reachable turns an address to listen on into one to connect to.
func Reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}
