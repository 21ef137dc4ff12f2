package millicast

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
)

// ThumbnailDir keeps the last picture of each stream as a file. The file's name is a hash of the
// stream's id, so that nothing from the network is ever part of a path; its modification time is
// the picture's.
type ThumbnailDir struct {
	root *os.Root
	mu   sync.Mutex // one save at a time: an older picture must not replace a newer one
}

const (
	thumbnailSuffix = ".jpg"
	unfinished      = ".tmp"
)

// OpenThumbnails opens the folder "thumbnails" inside dataDir and makes it when it is missing. It
// removes the files of interrupted saves.
func OpenThumbnails(dataDir string) (*ThumbnailDir, error) {
	path := filepath.Join(dataDir, "thumbnails")
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("thumbnails: make the folder: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("thumbnails: open the folder: %w", err)
	}
	d := &ThumbnailDir{root: root}
	err = d.each(func(f fs.DirEntry) error {
		if strings.HasSuffix(f.Name(), unfinished) {
			return root.Remove(f.Name())
		}
		return nil
	})
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("thumbnails: clean the folder: %w", err)
	}
	return d, nil
}

// Close closes the folder.
func (d *ThumbnailDir) Close() error { return d.root.Close() }

// SaveThumbnail replaces the stream's picture, unless the saved one is newer. The caller still owns
// jpeg.
func (d *ThumbnailDir) SaveThumbnail(id controller.StreamID, at time.Time, jpeg []byte) error {
	name := thumbnailName(id)
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, err := d.root.Stat(name); err == nil && old.ModTime().After(at) {
		return nil
	}
	temp := name + "." + rand.Text() + unfinished
	err := d.write(temp, at, jpeg)
	if err == nil {
		err = d.root.Rename(temp, name)
	}
	if err != nil {
		_ = d.root.Remove(temp)
		return fmt.Errorf("thumbnail of %q: save: %w", id, err)
	}
	return nil
}

func (d *ThumbnailDir) write(name string, at time.Time, jpeg []byte) error {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(jpeg)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return d.root.Chtimes(name, at, at)
}

// Thumbnail returns the stream's last picture and when it was taken; ok is false when there is
// none.
func (d *ThumbnailDir) Thumbnail(id controller.StreamID) (jpeg []byte, at time.Time, ok bool) {
	f, err := d.root.Open(thumbnailName(id))
	if err != nil {
		return nil, at, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, at, false
	}
	jpeg, err = io.ReadAll(io.LimitReader(f, MaxJPEG))
	if err != nil {
		return nil, at, false
	}
	return jpeg, info.ModTime().UTC(), true
}

// Prune removes the pictures taken before a time and returns how many it removed.
func (d *ThumbnailDir) Prune(before time.Time) (removed int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err = d.each(func(f fs.DirEntry) error {
		info, err := f.Info()
		if err != nil || !info.ModTime().Before(before) {
			return err
		}
		removed++
		return d.root.Remove(f.Name())
	})
	if err != nil {
		return removed, fmt.Errorf("thumbnails: prune: %w", err)
	}
	return removed, nil
}

// each calls fn with every file of the folder.
func (d *ThumbnailDir) each(fn func(fs.DirEntry) error) error {
	files, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

func thumbnailName(id controller.StreamID) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:]) + thumbnailSuffix
}
