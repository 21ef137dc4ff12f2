package encoders

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Recall reads what [Remember] wrote under the name in a driver's folder. It returns the zero value
// when nothing was written, or dir is "".
func Recall[T any](dir, name string) (v T, err error) {
	if dir == "" {
		return v, nil
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		var zero T
		return zero, fmt.Errorf("read %s: %w", name, err)
	}
	return v, nil
}

// Remember writes v under the name in a driver's folder, for the next process. The file is replaced
// in one step, so a process that is killed leaves the old value or the new one. It is not synced:
// what it describes does not survive a power loss either. When dir is "", it writes nothing.
func Remember[T any](dir, name string, v T) error {
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, name)
	data, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Forget removes what Remember wrote under the name.
func Forget(dir, name string) error {
	if dir == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
