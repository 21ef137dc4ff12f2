package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
)

const (
	bundleSteps = 300 // transitions of each stream
	bundleLines = 500 // lines of each encoder's output
	bundleHooks = 500
)

func newBundle() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Write a support archive: status, history, logs, config; secrets removed",
		Long: "Write an archive to send with a question or a bug report: status, history, encoder logs, hooks,\n" +
			"metrics, configuration, versions and what oncue doctor finds.\n" +
			"Secrets are removed from every file. The configuration in it is not the file but what oncue\n" +
			"understood, with only those texts that cannot hold a secret. Without a running daemon the archive " +
			"has less.",
		Args: noArgs,
	}
	client.Flags(cmd)
	output := cmd.Flags().StringP("output", "o", "",
		"`FILE` to write, or - for the standard output (default: oncue-bundle-HOST-TIME.tar.gz)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		name := *output
		if name == "" {
			host, _ := os.Hostname()
			name = fmt.Sprintf("oncue-bundle-%s-%s.tar.gz", daemon.DeviceDir(host),
				time.Now().UTC().Format("20060102T150405Z"))
		}
		var archive bytes.Buffer
		b := newBundler(cmd, &archive)
		if err := b.fill(cmd.Context()); err != nil {
			return fmt.Errorf("make the bundle: %w", err)
		}
		if name == "-" {
			_, err := cmd.OutOrStdout().Write(archive.Bytes())
			return err
		}
		if err := writeNew(name, archive.Bytes(), true); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, secrets removed; look through it before you send it\n", name,
			term.Plural(b.files, "file"))
		for _, m := range b.missing {
			fmt.Fprintf(cmd.ErrOrStderr(), "missing: %s\n", m)
		}
		return nil
	}
	return cmd
}

// writeNew writes a file that only its owner can read. It replaces an existing one only with
// replace.
func writeNew(name string, data []byte, replace bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	target := name
	if replace {
		target = fmt.Sprintf("%s.%d.tmp", name, os.Getpid())
	}
	f, err := os.OpenFile(target, flags, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil && replace {
		err = os.Rename(target, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(target))
	}
	return nil
}

// bundler collects files. It notes what it cannot get, and leaves that out.
type bundler struct {
	cmd     *cobra.Command
	config  string
	daemon  *client.Client
	cfg     *configs.Config // nil when it has problems
	masker  *secret.Masker
	archive *tar.Writer
	gzip    *gzip.Writer
	began   time.Time
	files   int
	missing []string
}

func newBundler(cmd *cobra.Command, out io.Writer) *bundler {
	b := &bundler{cmd: cmd, config: cmd.Flag("config").Value.String(), gzip: gzip.NewWriter(out), began: time.Now()}
	b.archive = tar.NewWriter(b.gzip)
	b.cfg, _, _ = configs.Load(b.config, daemon.DriverSettings())
	var secrets []secret.Value
	if b.cfg != nil {
		secrets = b.cfg.Secrets()
	}
	var err error
	if b.daemon, err = client.Find(cmd); err != nil {
		b.lack("the daemon", err)
	} else {
		secrets = append(secrets, b.daemon.Token)
	}
	b.masker = secret.NewMasker(secrets...)
	return b
}

func (b *bundler) lack(what string, err error) {
	b.missing = append(b.missing, fmt.Sprintf("%s: %s", what, b.masker.Mask(err.Error())))
}

// add is the only way into the archive, and masks.
func (b *bundler) add(name string, data []byte) error {
	if masked, ok := b.maskJSON(data); ok && path.Ext(name) == ".json" {
		data = masked
	} else {
		data = []byte(b.masker.Mask(string(data)))
	}
	b.files++
	head := tar.Header{
		Name: path.Join("oncue-bundle", name), Mode: 0o600, Size: int64(len(data)), ModTime: b.began,
		Typeflag: tar.TypeReg,
	}
	if err := b.archive.WriteHeader(&head); err != nil {
		return err
	}
	_, err := b.archive.Write(data)
	return err
}

// maskJSON masks each text by itself, so that the result is still JSON; ok is false when data is
// not.
func (b *bundler) maskJSON(data []byte) (masked []byte, ok bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	masked, err := json.Marshal(b.maskValue("", v))
	return append(masked, '\n'), err == nil
}

func (b *bundler) maskValue(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[b.masker.Mask(k)] = b.maskValue(k, e)
		}
		return out
	case []any:
		for i, e := range v {
			v[i] = b.maskValue(key, e)
		}
	case string:
		if secret.Named(key) && v != "" {
			return secret.Mask
		}
		return b.masker.Mask(v)
	}
	return v
}

func (b *bundler) fill(ctx context.Context) error {
	steps := []func(context.Context) error{b.addVersions, b.addConfig, b.addDoctor}
	if b.daemon != nil {
		steps = append(steps, b.addDaemon)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if len(b.missing) > 0 {
		if err := b.add("missing.txt", []byte(strings.Join(b.missing, "\n")+"\n")); err != nil {
			return err
		}
	}
	return errors.Join(b.archive.Close(), b.gzip.Close())
}

func (b *bundler) addVersions(context.Context) error {
	v, c, d := build()
	host, _ := os.Hostname()
	system, _ := os.ReadFile("/etc/os-release")
	kernel, _ := os.ReadFile("/proc/version")
	text := fmt.Appendf(nil, "oncue %s\ncommit %s\ndate %s\n%s %s/%s\nhost %s\nmade %s\n\n%s\n%s", v, c, d,
		runtime.Version(), runtime.GOOS, runtime.GOARCH, host, b.began.UTC().Format(time.RFC3339), kernel, system)
	return b.add("version.txt", text)
}

// addConfig adds the configuration as oncue understood it, never the file, whose comments may hold
// anything. Of a configuration with problems it adds the problems.
func (b *bundler) addConfig(context.Context) error {
	if b.cfg == nil {
		_, _, err := configs.Load(b.config, daemon.DriverSettings())
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			b.lack("config.yaml", err)
			return nil
		}
		b.lack("config.yaml", errors.New("it has problems; see check.txt"))
		if err != nil {
			return b.add("check.txt", []byte(err.Error()+"\n"))
		}
		return nil
	}
	text, err := b.cfg.Archive(daemon.DriverSettings())
	if err != nil {
		return err
	}
	var plan bytes.Buffer
	page := planPage{term.Screen{Out: &plan, Size: 200}}
	if err := page.plan(b.cfg, true); err != nil {
		fmt.Fprintf(&plan, "error: %v\n", err)
	}
	return errors.Join(b.add("config.yaml", text), b.add("check.txt", plan.Bytes()))
}

func (b *bundler) addDoctor(ctx context.Context) error {
	var text bytes.Buffer
	d := doctor{config: b.config, daemon: b.daemon, quick: true}
	if b.daemon == nil {
		d.noDaemon = errors.New("the daemon's address is not known")
	}
	if err := d.run(ctx, term.Screen{Out: &text}, false); err != nil {
		fmt.Fprintf(&text, "error: %v\n", err)
	}
	return b.add("doctor.txt", text.Bytes())
}

// addDaemon adds what the daemon answers.
func (b *bundler) addDaemon(ctx context.Context) error {
	var all term.Status
	if err := b.daemon.Get(ctx, "/status", &all); err != nil {
		b.lack("status, history, logs, events, metrics", err)
		return nil
	}
	var table bytes.Buffer
	term.Screen{Out: &table, Size: 160}.StatusTable(all)
	if err := b.add("status.txt", table.Bytes()); err != nil {
		return err
	}
	for _, f := range [][2]string{
		{"status.json", "/status"}, {"events.json", fmt.Sprintf("/api/v1/events?limit=%d", bundleHooks)},
		{"metrics.txt", "/metrics"},
	} {
		if err := b.addAnswer(ctx, f[0], f[1]); err != nil {
			return err
		}
	}
	for _, s := range all.Streams {
		dir := path.Join("streams", url.PathEscape(string(s.ID)))
		steps := client.StreamPath(string(s.ID), fmt.Sprintf("/history?limit=%d", bundleSteps))
		if err := b.addAnswer(ctx, path.Join(dir, "history.json"), steps); err != nil {
			return err
		}
		for _, e := range s.Encoders {
			address := client.StreamPath(string(s.ID),
				fmt.Sprintf("/log?lines=%d&encoder=%s", bundleLines, url.QueryEscape(e.Name)))
			if err := b.addAnswer(ctx, path.Join(dir, e.Name+".log"), address); err != nil {
				return err
			}
		}
	}
	return nil
}

// addAnswer adds an answer of the daemon, unless it is empty.
func (b *bundler) addAnswer(ctx context.Context, name, address string) error {
	var answer []byte
	if err := b.daemon.Get(ctx, address, &answer); err != nil {
		b.lack(name, err)
		return nil
	}
	if len(answer) == 0 {
		return nil
	}
	return b.add(name, answer)
}
