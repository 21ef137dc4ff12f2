package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/configs/words"
	"github.com/oncue/oncue/controller/millicast"
)

// hookFlags are the flags of oncue hook.
type hookFlags struct {
	config, stream, url, secret, account, feed, at string
	ago                                            durationFlag
}

func newHook() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hook EVENT --stream NAME",
		Short: "Sign and send one hook, as the platform does",
		Long: "Sign and send one hook, as the platform does, and print the answer.\n" +
			"What the flags leave out (address, account and secret) comes from the configuration.\n\n" +
			"events: " + strings.Join(millicast.EventNames(), ", "),
		Example: "  oncue hook ViewerAttempt --stream lobby\n  oncue hook started --stream lobby --feed f1",
		Args:    argsBetween(1, 1),
	}
	for _, name := range millicast.EventNames() {
		_, event, _ := strings.Cut(name, ".")
		cmd.ValidArgs = append(cmd.ValidArgs, event)
	}
	var f hookFlags
	path := client.ConfigFlag(cmd)
	cmd.Flags().StringVar(&f.stream, "stream", "", "`NAME` of the stream, or ACCOUNT/NAME")
	cmd.Flags().StringVar(&f.url, "url", "", "`URL` of the receiver (default: the configuration's listen)")
	cmd.Flags().StringVar(&f.secret, "secret", "",
		"webhook `SECRET`, or @FILE; others can read the command line, so ONCUE_WEBHOOK_SECRET is better "+
			"(default: the configuration's first)")
	cmd.Flags().StringVar(&f.account, "account", "", "account `ID` (default: the configuration's only one)")
	cmd.Flags().StringVar(&f.feed, "feed", "feed-1", "`ID` of the feed, clip or recording")
	cmd.Flags().StringVar(&f.at, "at", "", "`TIME` it was sent, RFC 3339 (default: now)")
	cmd.Flags().Var(&f.ago, "ago", "how long ago it was sent, a `DURATION` such as 15m")
	cmd.MarkFlagsMutuallyExclusive("at", "ago")
	_ = cmd.RegisterFlagCompletionFunc("stream", completeStreams)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.config = *path
		return f.run(cmd, args[0])
	}
	return cmd
}

func (f *hookFlags) run(cmd *cobra.Command, event string) error {
	if f.stream == "" {
		return term.Hint(term.Usage(errors.New("--stream is missing")), "oncue hook "+event+" --stream NAME")
	}
	sent, err := f.sent()
	if err != nil {
		return err
	}
	key, err := hookSecret(f.secret)
	if err != nil {
		return err
	}
	if account, name, ok := strings.Cut(f.stream, "/"); ok && f.account == "" {
		f.account, f.stream = account, name
	}
	target := hookTarget{url: f.url, client: http.DefaultClient}
	if f.url == "" || !key.Set() || f.account == "" {
		cfg, err := readConfig(f.config, cmd.ErrOrStderr(), nil)
		if err != nil {
			return err
		}
		if f.account == "" {
			if f.account, err = onlyAccount(cfg); err != nil {
				return err
			}
		}
		if !key.Set() {
			if key, err = accountSecret(cfg, f.account); err != nil {
				return err
			}
		}
		if f.url == "" {
			if target, err = ownHooks(cfg); err != nil {
				return err
			}
		}
	}
	if err := millicast.CheckSecret(key); err != nil {
		return err
	}
	message, err := millicast.NewMessage(event, f.account, f.stream, f.feed, sent)
	if err != nil {
		if near, ok := words.Nearest(event, slices.Concat(cmd.ValidArgs, millicast.EventNames())); ok {
			return term.Hint(term.Usage(err), fmt.Sprintf("did you mean oncue hook %s?", near))
		}
		return term.Usage(err)
	}
	return target.send(cmd.Context(), key, message, cmd.OutOrStdout())
}

func (f *hookFlags) sent() (time.Time, error) {
	if f.at == "" {
		return time.Now().Add(-time.Duration(f.ago)), nil
	}
	at, err := time.Parse(time.RFC3339, f.at)
	if err != nil {
		return at, term.Hint(term.Usage(fmt.Errorf("--at: %q is not a time", f.at)),
			"write it like "+time.Now().UTC().Format(time.RFC3339))
	}
	return at, nil
}

// hookSecret is what --secret or the environment says.
func hookSecret(given string) (secret.Value, error) {
	return givenSecret(given, "ONCUE_WEBHOOK_SECRET")
}

// givenSecret is a flag's value, the first line of @FILE, or the environment's.
func givenSecret(given, env string) (secret.Value, error) {
	if path, ok := strings.CutPrefix(given, "@"); ok {
		return client.ReadSecret(path)
	}
	return secret.New(cmp.Or(given, os.Getenv(env))), nil
}

// onlyAccount is the configuration's account, when it has just one.
func onlyAccount(cfg *configs.Config) (string, error) {
	ids := slices.Sorted(maps.Keys(cfg.Accounts))
	switch len(ids) {
	case 1:
		return ids[0], nil
	case 0:
		return "", fmt.Errorf("%s has no account", cfg.File)
	}
	return "", term.Hint(term.Usage(errors.New("the configuration has several accounts")),
		"--account says which: "+strings.Join(ids, ", "))
}

func accountSecret(cfg *configs.Config, id string) (secret.Value, error) {
	a := cfg.Accounts[id]
	switch {
	case a == nil:
		return secret.Value{}, term.Hint(fmt.Errorf("%s has no account %q", cfg.File, id),
			"it has "+strings.Join(slices.Sorted(maps.Keys(cfg.Accounts)), ", "))
	case len(a.WebhookSecrets) == 0:
		return secret.Value{}, term.Hint(fmt.Errorf("account %s has no webhook secret in the configuration", id),
			"give one by ONCUE_WEBHOOK_SECRET or --secret @FILE")
	}
	return a.WebhookSecrets[0], nil
}

// hookTarget is where hooks go to.
type hookTarget struct {
	url    string
	client *http.Client
}

// ownHooks is the public side of the daemon on this host. Its certificate is for its public name.
func ownHooks(cfg *configs.Config) (hookTarget, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	target := hookTarget{client: &http.Client{Transport: transport}}
	scheme := "http"
	if cfg.TLS.On() {
		scheme = "https"
		if u, err := url.Parse(cfg.PublicURL); err == nil {
			transport.TLSClientConfig = &tls.Config{ServerName: u.Hostname()}
		}
		if names := cfg.TLS.ACME.Domains; len(names) > 0 {
			transport.TLSClientConfig = &tls.Config{ServerName: names[0]}
		}
	}
	path, isUnix := strings.CutPrefix(cfg.Listen, "unix:")
	switch {
	case cfg.Listen == "systemd":
		err := errors.New("systemd opens the socket of listen, so its address is not known here")
		return target, term.Hint(term.Usage(err), "--url URL names the receiver")
	case isUnix:
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		target.url = scheme + "://localhost" + millicast.HookPath
	default:
		target.url = scheme + "://" + client.Reachable(cfg.Listen) + millicast.HookPath
	}
	return target, nil
}

// hookLimit bounds sending one hook.
const hookLimit = 20 * time.Second

// send delivers a message and prints the answer; one that is no success is an error.
func (t hookTarget) send(ctx context.Context, key secret.Value, m millicast.Message, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, hookLimit)
	defer cancel()
	req, err := millicast.NewRequest(ctx, t.url, key, millicast.ContentJSON, m.Body())
	if err != nil {
		return term.Usage(err)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return term.Hint(fmt.Errorf("nothing accepts hooks at %s: %w", t.url, client.PlainCause(err)),
			"is the daemon running? systemctl status oncue; --url URL names another receiver")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the answer to the hook: %w", client.PlainCause(err))
	}
	fmt.Fprintf(out, "%s\n%s\n", resp.Status, term.Harmless(strings.TrimSpace(string(body))))
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return term.Hint(fmt.Errorf("%s refused the hook", t.url),
			"the secret is not one of the account's webhook_secrets, or the account is not configured there")
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("%s refused the hook", t.url)
	}
	return nil
}
