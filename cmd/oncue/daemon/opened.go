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
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/ffmpeg"
)

// This file remembers with what settings each encoder was opened last. What runs was started with them: after a reload
// or a restart it is found and stopped by them, whatever the configuration says of its name by then.

// opened is that memory, one file in the encoder's folder for each driver.
type opened struct {
	Name     string `json:"name"`     // in the configuration
	Device   string `json:"device"`   // the instance
	Settings []byte `json:"settings"` // sealed
	Secrets  []byte `json:"secrets"`  // those in the settings, sealed
}

const openedSuffix = ".opened"

// openEncoder is the controller's Open.
func (d *Daemon) openEncoder(e machine.EncoderSpec, _ encoders.Job) (encoders.Encoder, string, error) {
	d.mu.Lock()
	p := d.plan
	d.mu.Unlock()
	dir, err := makeEncoderDir(p.DataDir, e.Device)
	if err != nil {
		return nil, "", fmt.Errorf("make the folder of encoder %s: %w", e.Name, err)
	}
	settings, secrets, version, err := d.settingsOf(p, e, dir)
	if err != nil {
		return nil, "", err
	}
	if version != earlier {
		d.notes.add(func() { // aside, for a viewer may be waiting; whoever reads it has another file, and comes later
			if err := d.remember(dir, e, settings, secrets); err != nil {
				d.log.Warn("it is not noted with what settings an encoder runs", "encoder", e.Device, "error", err)
			}
		})
	}
	enc, err := OpenDriver(e.Driver, settings, encoders.Env{
		Name: e.Device, Dir: dir, Log: d.log.With("encoder", e.Device), Guard: guardOf(p.Config), Secrets: secrets,
	})
	return enc, version, err
}

// errands are done one after the other, aside.
type errands struct {
	mu   sync.Mutex
	todo []func()
	busy bool
	done sync.WaitGroup
}

func (e *errands) add(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.todo = append(e.todo, f)
	if !e.busy {
		e.busy = true
		e.done.Go(e.work)
	}
}

func (e *errands) work() {
	for {
		e.mu.Lock()
		if len(e.todo) == 0 {
			e.busy = false
			e.mu.Unlock()
			return
		}
		f := e.todo[0]
		e.todo = e.todo[1:]
		e.mu.Unlock()
		f()
	}
}

// earlier is the version of settings that are not those of today.
const earlier = "earlier"

// settingsOf is what an encoder is opened with, and its version: the settings of today when they are asked for, and else
// those that it was opened with last.
func (d *Daemon) settingsOf(p *plan, e machine.EncoderSpec, dir string) (settings any, secrets []secret.Value, version string, err error) {
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
		d.log.Warn("the settings that an encoder was opened with cannot be read", "encoder", e.Device, "error", err)
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
	return encoders.Remember(dir, e.Driver+openedSuffix, opened{e.Name, e.Device, d.seal.close(plain), d.seal.close(hidden)})
}

// recall returns the settings that the folder's encoder was opened with last, and the secrets in them; nil when there are none.
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
	d.mu.Lock()
	p := d.plan
	d.mu.Unlock()
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
			d.log.Warn("a note of what an encoder was opened with cannot be read", "file", note, "error", err)
			continue
		}
		e := machine.EncoderSpec{Name: o.Name, Instance: machine.Instance{Driver: driver, Device: o.Device}}
		known[e.Instance] = true
		left = append(left, e)
	}
	for _, s := range streamSpecs(p) { // the first edition left folders without a note
		for _, e := range s.Policy.Encoders {
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
	d.mu.Lock()
	p := d.plan
	d.mu.Unlock()
	dir, err := filepath.Abs(p.DataDir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		d.log.Warn("encoders whose folder is gone cannot be looked for", "error", err)
		return
	}
	if pids := ffmpeg.EndLost(filepath.Join(dir, "encoders")); len(pids) > 0 {
		d.log.Warn("encoders whose folder was deleted while they ran were ended", "pids", pids)
	}
}

// discardEncoder is the controller's Discard.
func (d *Daemon) discardEncoder(at machine.Instance) {
	d.mu.Lock()
	p := d.plan
	d.mu.Unlock()
	root, err := os.OpenRoot(p.DataDir)
	if err == nil {
		defer root.Close()
		err = root.RemoveAll(filepath.Join("encoders", DeviceDir(at.Device)))
	}
	if err != nil {
		d.log.Warn("the folder of an encoder that is not needed any more stays", "encoder", at.Device, "error", err)
	}
}

// seal keeps secrets unreadable for who has a file of the data directory, and not the directory.
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
