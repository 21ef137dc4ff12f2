package daemon

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// This file remembers the settings with which each encoder was opened last. What runs was started
// with those: after a reload or a restart they find and stop it, whatever the configuration says of
// its name by then.

// opened is that memory, one file in the encoder's folder for each driver.
type opened struct {
	Name     string `json:"name"`     // in the configuration
	Device   string `json:"device"`   // the instance
	Settings []byte `json:"settings"` // sealed
	Secrets  []byte `json:"secrets"`  // those in the settings, sealed
}

const openedSuffix = ".opened"

// openEncoder is the controller's Open.
func (d *Daemon) openEncoder(e machine.EncoderSpec, job encoders.Job) (encoders.Encoder, string, error) {
	p := d.inForce().plan
	dir, err := makeEncoderDir(p.DataDir, e.Device)
	if err != nil {
		return nil, "", fmt.Errorf("make the folder of encoder %s: %w", e.Name, err)
	}
	settings, secrets, version, err := d.settingsOf(p, e, dir)
	if err != nil {
		return nil, "", err
	}
	if version != earlier {
		d.notes.add(func() { // in the background, because a viewer may be waiting; it is read after a restart only
			if err := d.remember(dir, e, settings, secrets); err != nil {
				d.log.Warn("the settings of an encoder were not saved for a restart", "encoder", e.Device, "error", err)
			}
		})
	}
	enc, err := OpenDriver(e.Driver, settings, encoders.Env{
		Name: e.Device, Dir: dir, Log: d.log.With("encoder", e.Device), Guard: d.guard(p.Config),
		Secrets: slices.Concat(secrets, d.tokensOf(p, job)),
	})
	return enc, version, err
}

// tokensOf are the publishing tokens that may stand in the output of an encoder: also that of a run
// which began before a rotation.
func (d *Daemon) tokensOf(p *plan, job encoders.Job) []secret.Value {
	s, _, ok := p.Lookup(job.Account, job.Name)
	if !ok {
		return nil
	}
	return d.tokens.secrets(s.ID)
}

// background does one piece of work after the other, beside its caller.
type background struct {
	mu      sync.Mutex
	todo    []func()
	working bool
	workers sync.WaitGroup
}

func (b *background) add(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.todo = append(b.todo, f)
	if !b.working {
		b.working = true
		b.workers.Go(b.work)
	}
}

// wait returns when all that was added is done.
func (b *background) wait() { b.workers.Wait() }

func (b *background) work() {
	for {
		b.mu.Lock()
		if len(b.todo) == 0 {
			b.working = false
			b.mu.Unlock()
			return
		}
		f := b.todo[0]
		b.todo = b.todo[1:]
		b.mu.Unlock()
		f()
	}
}

// earlier is the version of settings that the configuration no longer has.
const earlier = "earlier"

// settingsOf returns the settings to open an encoder with, and their version: today's when the
// version of e asks for them, else those that it was opened with last.
func (d *Daemon) settingsOf(p *plan, e machine.EncoderSpec, dir string) (
	settings any, secrets []secret.Value, version string, err error,
) {
	today, ok := p.Encoder(e.Name)
	ok = ok && today.Driver == e.Driver
	now := ""
	if ok {
		now = strconv.Itoa(p.version[e.Name])
	}
	if ok && e.Version == now {
		return today.Settings, today.Secrets, now, nil
	}
	last, secrets, err := d.recall(dir, e.Driver)
	switch {
	case err != nil:
		d.log.Warn("the saved settings of an encoder cannot be read", "encoder", e.Device, "error", err)
	case last != nil && ok && reflect.DeepEqual(last, today.Settings):
		return last, secrets, now, nil
	case last != nil:
		return last, secrets, earlier, nil
	case ok:
		return today.Settings, today.Secrets, now, nil
	}
	if drivers[e.Driver].orphan == nil {
		return nil, nil, "", encoders.Permanent(fmt.Errorf("encoder %s is no longer in the configuration", e.Name))
	}
	return drivers[e.Driver].orphan(), nil, earlier, nil
}

func (d *Daemon) remember(dir string, e machine.EncoderSpec, settings any, secrets []secret.Value) error {
	plain, err := configs.EncodeSettings(settings)
	if err != nil {
		return err
	}
	hidden, err := configs.EncodeSettings(secrets)
	if err != nil {
		return err
	}
	o := opened{Name: e.Name, Device: e.Device, Settings: d.seal.close(plain), Secrets: d.seal.close(hidden)}
	return encoders.Remember(dir, e.Driver+openedSuffix, o)
}

// recall returns the settings with which the folder's encoder was opened last, and the secrets in
// them; nil when there are none.
func (d *Daemon) recall(dir, driver string) (any, []secret.Value, error) {
	o, err := encoders.Recall[opened](dir, driver+openedSuffix)
	if err != nil || o.Settings == nil {
		return nil, nil, err
	}
	plain, err := d.seal.open(o.Settings)
	if err != nil {
		return nil, nil, err
	}
	settings := drivers[driver].settings()
	if err := configs.DecodeSettings(plain, settings); err != nil || o.Secrets == nil {
		return settings, nil, err
	}
	if plain, err = d.seal.open(o.Secrets); err != nil {
		return nil, nil, err
	}
	var secrets []secret.Value
	err = configs.DecodeSettings(plain, &secrets)
	return settings, secrets, err
}

// leftEncoders is the controller's Left: every encoder that has a folder.
func (d *Daemon) leftEncoders() []machine.EncoderSpec {
	p := d.inForce().plan
	root := filepath.Join(p.DataDir, "encoders")
	var left []machine.EncoderSpec
	known := map[machine.Instance]bool{}
	notes, err := filepath.Glob(filepath.Join(root, "*", "*"+openedSuffix))
	if err != nil {
		d.log.Warn("the folders of encoders cannot be read", "error", err)
	}
	for _, note := range notes {
		driver := strings.TrimSuffix(filepath.Base(note), openedSuffix)
		o, err := encoders.Recall[opened](filepath.Dir(note), filepath.Base(note))
		if err != nil || o.Device == "" || drivers[driver].open == nil {
			d.log.Warn("the saved settings of an encoder cannot be read", "file", note, "error", err)
			continue
		}
		e := machine.EncoderSpec{Name: o.Name, Instance: machine.Instance{Driver: driver, Device: o.Device}}
		known[e.Instance] = true
		left = append(left, e)
	}
	for _, s := range streamSpecs(p) { // the first edition left folders without a note
		for e := range s.Policy.All() {
			if _, err := os.Stat(filepath.Join(root, DeviceDir(e.Device))); err == nil && !known[e.Instance] {
				known[e.Instance] = true
				left = append(left, machine.EncoderSpec{Name: e.Name, Instance: e.Instance})
			}
		}
	}
	return left
}

// endLost is the controller's EndLost.
func (d *Daemon) endLost() {
	p := d.inForce().plan
	dir, err := filepath.Abs(p.DataDir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		d.log.Warn("encoders whose folder was deleted cannot be found", "error", err)
		return
	}
	if pids := proc.EndLost(filepath.Join(dir, "encoders")); len(pids) > 0 {
		d.log.Warn("encoders whose folder was deleted while they ran were ended", "pids", pids)
	}
}

// discardEncoder is the controller's Discard.
func (d *Daemon) discardEncoder(at machine.Instance) {
	p := d.inForce().plan
	root, err := os.OpenRoot(p.DataDir)
	if err == nil {
		defer root.Close()
		err = root.RemoveAll(filepath.Join("encoders", DeviceDir(at.Device)))
	}
	if err != nil {
		d.log.Warn("the folder of an unused encoder was not removed", "encoder", at.Device, "error", err)
	}
}

// seal encrypts secrets, so that somebody with one file of the data directory cannot read them.
type seal struct{ cipher.AEAD }

const sealFile = "seal.key"

// openSeal reads the key of the data directory, and makes it the first time.
func openSeal(dataDir string) (seal, error) {
	path := filepath.Join(dataDir, sealFile)
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeKey(path)
	}
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("it has %d bytes instead of 32", len(key))
	}
	if err != nil {
		return seal{}, fmt.Errorf("the key %s: %w", path, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return seal{}, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	return seal{gcm}, err
}

func makeKey(path string) ([]byte, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	return key, errors.Join(err, f.Sync(), f.Close())
}

func (s seal) close(plain []byte) []byte { return s.Seal(nil, nil, plain, nil) }

func (s seal) open(sealed []byte) ([]byte, error) { return s.Open(nil, nil, sealed, nil) }
