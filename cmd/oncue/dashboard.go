package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller"
)

func newDashboard() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Print the dashboard's address, with a code that logs a browser in once",
		Long: "Print the dashboard's address. If the admin side has a token, the address carries a code instead,\n" +
			"which logs one browser in, once, within five minutes.\n" +
			"Root, the group of the daemon's socket, and whoever has the token may print it.",
		Args: noArgs,
	}
	client.Flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client.Find(cmd)
		if err != nil {
			return err
		}
		page, err := pageAddress(cmd, c)
		if err != nil {
			return err
		}
		var login struct {
			Code    string           `json:"code"`
			Expires *controller.Time `json:"expires"`
		}
		if err := c.Call(cmd.Context(), http.MethodPost, "/api/v1/login-code", nil, &login); err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if login.Code == "" {
			fmt.Fprintf(out, "%s/\n", page)
		} else {
			fmt.Fprintf(out, "%s/login#%s\n", page, url.PathEscape(login.Code))
		}
		if u, err := url.Parse(page); err == nil && client.LoopbackHost(u.Hostname()) {
			fmt.Fprintf(cmd.ErrOrStderr(), "hint: from another machine, first: ssh -L %s:%s HOST\n", u.Port(), u.Host)
		}
		return nil
	}
	return cmd
}

// pageAddress is the address of the dashboard for a browser, which cannot open a unix socket.
func pageAddress(cmd *cobra.Command, c *client.Client) (string, error) {
	if !strings.HasPrefix(c.Shown, "unix:") {
		return c.Base, nil
	}
	configured, err := configs.ReadAdmin(cmd.Flag("config").Value.String())
	if err == nil && !strings.HasPrefix(configured.Listen, "unix:") && configured.Listen != "systemd" {
		return "http://" + client.Reachable(configured.Listen), nil
	}
	return "", term.Hint(errors.Join(fmt.Errorf("the admin side has no address for a browser: %s", c.Shown), err),
		fmt.Sprintf("ssh -L 8081:%s HOST gives it one on the machine where you run that: http://127.0.0.1:8081/",
			strings.TrimPrefix(c.Shown, "unix:")))
}
