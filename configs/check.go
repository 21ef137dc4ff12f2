package configs

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/oncue/oncue/configs/secret"
)

// check compares the parts of a configuration. It skips keys that have an error already.
func (d *decoder) check(c *Config) {
	d.checkListen(c)
	d.checkPublicURL(c)
	d.checkWake(c.Wake)
	for id, a := range c.Accounts {
		d.checkAccount(c, join("accounts", id), a)
	}
	d.checkTiming("defaults", c.Defaults)
	for i, n := range c.Notify {
		d.checkNotify(fmt.Sprintf("notify[%d]", i), n)
	}
	for _, s := range c.Streams {
		d.checkName(c, s)
		d.checkStream(c, s)
	}
	d.checkHelpers(c)
	d.checkUse(c)
	d.checkEmpty(c)
}

// wrong reports an error at a key's value, unless the key has one already. So does warn, for what
// may be intended.
func (d *decoder) wrong(path, format string, args ...any) {
	if !d.bad[path] {
		d.report(d.find(path).value, path, false, format, args...)
	}
}

// missing reports that a key is missing; it points at the key around it.
func (d *decoder) missing(path, format string, args ...any) {
	if parent, _, _ := cutLast(path); !d.bad[path] && !d.bad[parent] {
		d.report(d.find(path).key, path, false, format, args...)
	}
}

func (d *decoder) warn(path, format string, args ...any) {
	if !d.bad[path] {
		d.report(d.find(path).key, path, true, format, args...)
	}
}

// conflict is warn for what [Problem.Refused] says.
func (d *decoder) conflict(path, format string, args ...any) {
	if !d.bad[path] {
		d.report(d.find(path).key, path, true, format, args...)
		d.problems[len(d.problems)-1].Refused = true
	}
}

// remark is warn for what is probably intended.
func (d *decoder) remark(path, format string, args ...any) {
	if !d.bad[path] {
		d.report(d.find(path).key, path, true, format, args...)
		d.problems[len(d.problems)-1].Note = true
	}
}

func (d *decoder) isSet(path string) bool {
	_, ok := d.at[path]
	return ok
}

// checkMode checks who else may read and write the file. Its group may read it: the packaged daemon
// does.
func (d *decoder) checkMode(mode fs.FileMode) {
	if mode.Perm()&0o002 != 0 {
		d.report(place{1, 1}, "", false, "every user of this host may write it (mode %04o), "+
			"and so decide what oncue runs; chmod o-w forbids that", mode.Perm())
	}
	if mode.Perm()&0o004 != 0 && d.literal != nil {
		d.report(d.literal.place, d.literal.path, true,
			"is a secret in a file that every user of this host may read (mode %04o); chmod o-r keeps it secret, "+
				"or write ${NAME} or ${file:PATH}", mode.Perm())
	}
}

const listenForms = "allowed: HOST:PORT (:8080 is every address of this host), unix:/PATH, systemd"

// checkAddress says whether only this host can reach a listen address.
func (d *decoder) checkAddress(path, listen string) (local bool) {
	if listen == "systemd" {
		return false
	}
	if file, ok := strings.CutPrefix(listen, "unix:"); ok {
		if !strings.HasPrefix(file, "/") {
			d.wrong(path, "a unix socket needs an absolute path; %s", listenForms)
		}
		return true
	}
	host, port, err := net.SplitHostPort(listen)
	n, numErr := strconv.Atoi(port)
	switch {
	case err != nil:
		if _, numErr := strconv.Atoi(listen); numErr == nil {
			d.wrong(path, "%q is a port without a host; write %q", listen, ":"+listen)
		} else {
			d.wrong(path, "%q is not an address to listen on; %s", listen, listenForms)
		}
	case numErr != nil || n < 0 || n > 65535:
		d.wrong(path, "the port %q is not a number from 0 to 65535", port)
	}
	return loopback(host)
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// shortestToken is the least length of the admin side's token, in characters, where other hosts can
// try to guess it.
const shortestToken = 16

func (d *decoder) checkListen(c *Config) {
	d.checkAddress("listen", c.Listen)
	local := d.checkAddress("admin.listen", c.Admin.Listen)
	if !local && !c.Admin.Token.Set() && !d.bad["admin.listen"] {
		d.missing("admin.token", "is required because admin.listen (%s) can be reached by others; set a token, or "+
			"listen on 127.0.0.1 or a unix socket", c.Admin.Listen)
	}
	if file := c.Admin.Socket; file != "" && !filepath.IsAbs(file) {
		d.wrong("admin.socket", "is not an absolute path; allowed: /PATH, such as /run/oncue/admin.sock")
	} else if file != "" && ("unix:"+file == c.Admin.Listen || "unix:"+file == c.Listen) {
		d.wrong("admin.socket", "is the address of listen or admin.listen already; it is for an additional one")
	}
	if t := c.Admin.Token; t.Set() && len(t.Reveal()) < shortestToken {
		const short = "is shorter than %d characters; `openssl rand -hex 16` makes a good one"
		if local || c.Admin.Listen == "systemd" { // its socket may be local, too
			d.warn("admin.token", short, shortestToken)
		} else {
			d.wrong("admin.token", "can be guessed by those who reach admin.listen (%s): it "+short,
				c.Admin.Listen, shortestToken)
		}
	}
	if c.Listen == c.Admin.Listen && c.Listen != "systemd" && !strings.HasSuffix(c.Listen, ":0") {
		if d.isSet("admin.listen") {
			d.wrong("admin.listen", "is the same address as listen; each side needs its own")
		} else {
			d.wrong("listen", "is the address of the admin side (admin.listen); each side needs its own")
		}
	}
	if c.DataDir == "" {
		d.wrong("data_dir", "is empty; write a folder such as /var/lib/oncue")
	}
	t := c.TLS
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		d.missing("tls.key_file", "is missing; cert_file and key_file go together")
	case t.CertFile == "" && t.KeyFile != "":
		d.missing("tls.cert_file", "is missing; cert_file and key_file go together")
	}
	switch {
	case t.CertFile != "" && d.isSet("tls.acme"):
		d.wrong("tls.acme", "cert_file is set too; keep one of files and acme")
	case d.isSet("tls.acme") && len(t.ACME.Domains) == 0:
		d.missing("tls.acme.domains", "is empty; write the host names of the certificate, such as [hooks.example.com]")
	case t.On() && strings.HasPrefix(c.Listen, "unix:"):
		d.warn("tls", "listen is a unix socket; a proxy in front of it usually speaks TLS itself")
	}
	for i, host := range t.ACME.Domains {
		if host == "" || strings.ContainsAny(host, "/:* ") {
			d.wrong(fmt.Sprintf("tls.acme.domains[%d]", i),
				"is not a host name; allowed: names such as hooks.example.com, without https:// and wildcards")
		}
	}
	for i, host := range c.Admin.AllowedHosts {
		if host == "" || strings.ContainsAny(host, "/ ") {
			d.wrong(fmt.Sprintf("admin.allowed_hosts[%d]", i),
				"is not a host name; allowed: names such as oncue.example.com, without https://")
		}
	}
}

func (d *decoder) checkPublicURL(c *Config) {
	if c.PublicURL == "" {
		return
	}
	const path = "public_url"
	u, err := url.Parse(c.PublicURL)
	switch {
	case err != nil || u.Host == "":
		d.wrong(path, "is not a URL; allowed: https://HOST or https://HOST:PORT")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		d.wrong(path, "begins with %s://; the platform must be told an https:// address (http:// is for loopback only)",
			u.Scheme)
	case u.User != nil:
		d.wrong(path, "holds a user name or password; allowed: https://HOST or https://HOST:PORT")
	case strings.HasSuffix(u.Path, "/hooks/millicast"):
		d.wrong(path, "ends in /hooks/millicast, which oncue adds; write https://HOST alone")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		d.wrong(path, "has something after the host; allowed: https://HOST or https://HOST:PORT")
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
}

func (d *decoder) checkWake(w Wake) {
	if n := len(w.Secret.Reveal()); w.Secret.Set() && n < shortestToken {
		d.wrong("wake.secret", "can be guessed: it is shorter than %d characters; `openssl rand -hex 32` makes a good one",
			shortestToken)
	} else if !w.Secret.Set() && d.isSet("wake") && len(w.Origins) > 0 {
		d.missing("wake.secret", "is missing; it signs the links. `openssl rand -hex 32` makes a good one")
	}
	for i, origin := range w.Origins {
		u, err := url.Parse(origin)
		path := fmt.Sprintf("wake.origins[%d]", i)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Contains(u.Host, "*"):
			d.wrong(path, "is not the origin of a site; allowed: https://HOST or https://HOST:PORT")
		case origin != u.Scheme+"://"+strings.ToLower(u.Host):
			d.wrong(path, "is not as browsers write it, in small letters and with nothing after the host; allowed: "+
				"https://HOST or https://HOST:PORT")
		}
	}
}

func (d *decoder) checkAccount(c *Config, path string, a *Account) {
	if a.ID == "" || strings.Contains(a.ID, "/") || strings.TrimSpace(a.ID) != a.ID {
		d.missing(path, "an account id is the platform's accountId: not empty, without a slash, and without a space "+
			"at its ends")
	}
	for i, s := range a.WebhookSecrets {
		d.checkWebhookSecret(fmt.Sprintf("%s.webhook_secrets[%d]", path, i), s)
	}
	api := a.APISecret.Set()
	const needAPI = "needs api_secret, the API secret of the account"
	if d.isSet(path+".api_secret") && !api {
		d.wrong(path+".api_secret", "is empty; remove the key, or write the account's API secret")
	}
	if len(a.WebhookSecrets) == 0 && !a.ManageWebhook {
		switch secrets := path + ".webhook_secrets"; {
		case d.bad[path]:
		case api:
			d.warn(secrets, "is empty, so no webhook is accepted until `oncue webhook create` or manage_webhook: "+
				"true has made one")
		default:
			d.missing(secrets, "is missing; without it no webhook can be verified. The platform shows the secret of "+
				"the webhook as base64")
		}
	}
	if a.ManageWebhook && !api {
		d.wrong(path+".manage_webhook", needAPI)
	} else if a.ManageWebhook && c.PublicURL == "" && !d.bad["public_url"] {
		d.wrong(path+".manage_webhook", "needs public_url, the https address by which the platform reaches listen")
	}
	if a.ForceStop && !api {
		d.wrong(path+".force_stop", needAPI)
	}
	u, err := url.Parse(a.APIURL)
	switch key := path + ".api_url"; {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.User != nil:
		d.wrong(key, "is not a base address; allowed: https://HOST")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		d.wrong(key, "must begin with https://, or the API secret could be read on the way (http:// is for loopback "+
			"only)")
	}
}

func (d *decoder) checkWebhookSecret(path string, s secret.Value) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s.Reveal())
	switch {
	case !s.Set() || len(raw) == 0 && err == nil:
		d.wrong(path, "is empty; write the webhook's secret as the platform shows it (base64)")
	case err != nil || strings.ContainsAny(s.Reveal(), "\r\n"):
		d.wrong(path, "is not base64; write the webhook's secret exactly as the platform shows it, with any = at the "+
			"end")
	case len(raw) < 16:
		d.warn(path, "decodes to %d bytes only; 16 and more are hard to guess", len(raw))
	}
}

// checkName warns of a name that looks like ACCOUNT/NAME with an unknown account. Names may hold
// slashes, so it may be intended.
func (d *decoder) checkName(c *Config, s *Stream) {
	account, _, slash := strings.Cut(s.Name, "/")
	if slash && s.key == join("streams", s.Name) { // without the account before it
		d.warn(s.key, "%s is not a configured account; taken as part of the stream's name. Accounts: %s", account,
			strings.Join(slices.Sorted(maps.Keys(c.Accounts)), ", "))
	}
}

func (d *decoder) checkNotify(path string, n Notify) {
	raw := n.URL.Reveal()
	scheme, rest, ok := strings.Cut(raw, "://")
	switch key := path + ".url"; {
	case raw == "":
		d.missing(key, "is missing; write a shoutrrr URL (slack://, telegram://, smtp:// ...) or an https webhook")
	case !ok || scheme == "" || rest == "":
		d.wrong(key, "is not a URL; allowed: a shoutrrr URL (slack://, telegram://, smtp:// ...) or an https webhook")
	}
	if !n.Secret.Set() || d.bad[path+".url"] {
		return
	}
	if scheme != "https" && scheme != "http" {
		d.warn(path+".secret", "signs plain webhooks only and does nothing for %s://", scheme)
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(n.Secret.Reveal(), "whsec_")); err != nil ||
		len(raw) == 0 {
		d.wrong(path+".secret", "is not base64; allowed: base64, with or without whsec_ before it")
	}
}

func (d *decoder) checkEmpty(c *Config) {
	if d.bad[""] {
		return
	}
	for _, part := range []struct {
		key, text string
		there     bool
	}{
		{"accounts", "none yet, so no webhook can be verified; add ACCOUNT_ID: {webhook_secrets: [...]}",
			len(c.Accounts) > 0},
		{"encoders", "none yet; add NAME: {ffmpeg: {input: URL}}", d.isSet("encoders") && len(c.encoders) > 0},
		{"streams", "none yet, so nothing would ever start; add NAME: {encoder: NAME, publish: URL}",
			d.streamsWritten > 0},
	} {
		if !part.there {
			d.warn(part.key, "%s", part.text)
		}
	}
}
