package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForeignDirectory tries folders that are not the store's. Each is refused and stays as it was.
func TestForeignDirectory(t *testing.T) {
	needRoot := func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can give files away")
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
		want string
	}{
		{"shared by all", func(t *testing.T, dir string) { must(t, os.Chmod(dir, 0o777|fs.ModeSticky)) }, "sticky bit"},
		{"shared by all, and used before", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, fileName), nil, 0o600))
			must(t, os.Chmod(dir, 0o777|fs.ModeSticky))
		}, "sticky bit"},
		{"other things in it", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "letters"), nil, 0o644))
		}, "holds other things"},
		{"another's", func(t *testing.T, dir string) {
			needRoot(t)
			must(t, os.Chown(dir, 65534, 65534))
		}, "this runs as root"},
		{"another's, with a database", func(t *testing.T, dir string) {
			needRoot(t)
			must(t, os.WriteFile(filepath.Join(dir, fileName), nil, 0o600))
			must(t, os.Chown(dir, 65534, 65534))
		}, "this runs as root"},
		{"another's link", func(t *testing.T, dir string) {
			needRoot(t)
			must(t, os.Remove(dir))
			must(t, os.Symlink(t.TempDir(), dir))
			must(t, os.Lchown(dir, 65534, 65534))
		}, "is a link that belongs to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			must(t, os.Mkdir(dir, 0o755))
			c.make(t, dir)
			before := treeOf(t, dir)
			_, err := Open(t.Context(), Options{Dir: dir})
			if _, ok := errors.AsType[*ForeignDirError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("opened: %v", err)
			}
			if err := CheckDir(dir, false); err == nil {
				t.Error("CheckDir finds nothing")
			}
			if after := treeOf(t, dir); after != before {
				t.Errorf("it was changed, from\n%sto\n%s", before, after)
			}
		})
	}
}

// treeOf lists a folder and what is in it with modes and owners.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir+"/.", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			out.WriteString(info.Mode().String() + " " + path + " " + userName(ownerOf(info)) + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestOwnDirectory tries folders that are taken. They are made private, but for one that holds
// other things, too.
func TestOwnDirectory(t *testing.T) {
	for _, c := range []struct {
		name   string
		file   string
		mode   fs.FileMode
		shared bool
		want   fs.FileMode
	}{
		{"empty", "", 0o755, false, 0o700},
		{"used before", fileName, 0o755, false, 0o700},
		{"a file system of its own", "lost+found", 0o755, false, 0o700},
		{"private, with something in it", "letters", 0o700, false, 0o700},
		{"known to hold other things", "oncue.yaml", 0o755, true, 0o755},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, c.mode); err != nil {
				t.Fatal(err)
			}
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(dir, c.file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Open(t.Context(), Options{Dir: dir, Shared: c.shared})
			if err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			info, err := os.Stat(dir)
			if err != nil || info.Mode().Perm() != c.want {
				t.Errorf("its mode is %v, want %v (%v)", info.Mode().Perm(), c.want, err)
			}
		})
	}
}

// TestLinksAreNotFollowed plants a link in place of each file that the store opens.
func TestLinksAreNotFollowed(t *testing.T) {
	for _, name := range []string{lockName, fileName, ballastName} {
		t.Run(name, func(t *testing.T) {
			dir, target := t.TempDir(), filepath.Join(t.TempDir(), "precious")
			if err := os.WriteFile(target, []byte("precious"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			var err error
			if name == ballastName {
				err = newBallast(dir).make()
			} else {
				_, err = Open(t.Context(), Options{Dir: dir})
			}
			if err == nil || !strings.Contains(err.Error(), name+" is a link") {
				t.Errorf("opened: %v", err)
			}
			text, err := os.ReadFile(target)
			info, statErr := os.Stat(target)
			if err != nil || statErr != nil || string(text) != "precious" || info.Mode().Perm() != 0o644 {
				t.Errorf("what the link leads to is now %q, %v (%v, %v)", text, info.Mode(), err, statErr)
			}
		})
	}
}
