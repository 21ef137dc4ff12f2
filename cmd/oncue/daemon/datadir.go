package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/store"
)

// BesideConfig reports whether the data directory is the folder of the configuration. Such a folder
// is oncue's own, although it holds more than data.
func BesideConfig(cfg *configs.Config) bool {
	data, err := os.Stat(cfg.DataDir)
	if err != nil {
		return false
	}
	folder, err := os.Stat(filepath.Dir(cfg.File))
	return err == nil && os.SameFile(data, folder)
}

// DataDirError adds a hint to the refusal of a data directory.
func DataDirError(err error) error {
	foreign, ok := errors.AsType[*store.ForeignDirError](err)
	switch {
	case !ok && errors.Is(err, fs.ErrPermission):
		return term.Hint(err,
			"data_dir and all in it must belong to the user who runs oncue; chown -R gives it to them")
	case !ok:
		return err
	case !foreign.Others:
		return term.Hint(err, "data_dir needs a folder of its own, and one that is not there yet is made: data_dir: "+
			filepath.Join(foreign.Dir, "oncue"))
	case os.Geteuid() == 0:
		return term.Hint(err,
			fmt.Sprintf("root would follow that user's links. Run it as that user (systemctl start oncue, "+
				"or sudo -u '#%d' oncue serve), or name another folder by data_dir", foreign.Owner))
	}
	return term.Hint(err, "run it as that user, or name another folder by data_dir")
}

// becomeOwner turns root, for the rest of this process, into the owner of the data directory. As
// root, the process would follow that user's links to files of root, and leave files that the
// daemon cannot open.
func becomeOwner(cfg *configs.Config) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, ok := Packaged(cfg.File); !ok {
			return nil // no other user is known
		}
		return term.Hint(fmt.Errorf("%s is not there yet, and the daemon's user must own it", cfg.DataDir),
			"systemctl start oncue makes it")
	}
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	uid, gid := int(st.Uid), int(st.Gid)
	err = errors.Join(
		syscall.Setgroups([]int{gid}), syscall.Setresgid(gid, gid, gid), syscall.Setresuid(uid, uid, uid),
	)
	if err != nil {
		return fmt.Errorf("become the owner of %s: %w", cfg.DataDir, err)
	}
	return nil
}

// Packaged reports whether the file is that of the installed package, whose socket unit holds the
// port. The group gid must be able to read it.
func Packaged(path string) (gid int, ok bool) {
	if path != configs.DefaultFile {
		return 0, false
	}
	if _, err := os.Stat(socketUnit); err != nil {
		return 0, false
	}
	group, err := user.LookupGroup("oncue")
	if err != nil {
		return 0, false
	}
	gid, err = strconv.Atoi(group.Gid)
	return gid, err == nil
}

const socketUnit = "/lib/systemd/system/oncue.socket"
