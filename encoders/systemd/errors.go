package systemd

import (
	"errors"
	"fmt"

	"github.com/oncue/oncue/encoders"
)

// rulesFile is where a user names the units that oncue may start and stop.
const rulesFile = "/etc/polkit-1/rules.d/50-oncue.rules"

// explain says what systemd or the bus refused, and what to do about it.
func explain(what, name string, err error) error {
	switch {
	case denied(err):
		return encoders.Permanent(fmt.Errorf("systemd does not let this user %s (unit %s): name the unit in %s: %w",
			what, name, rulesFile, err))
	case isError(err, systemdName+".NoSuchUnit"):
		return encoders.Permanent(fmt.Errorf("there is no unit %s: %w", name, err))
	case isError(err, systemdName+".UnitMasked"):
		return encoders.Permanent(fmt.Errorf("unit %s is masked; `systemctl unmask %s`: %w", name, name, err))
	case isError(err, systemdName+".BadUnitSetting", systemdName+".LoadFailed", systemdName+".OnlyByDependency",
		"org.freedesktop.DBus.Error.InvalidArgs"):
		return encoders.Permanent(fmt.Errorf("unit %s: %w", name, err))
	case noBus(err):
		return fmt.Errorf("no systemd answers here, as in most containers: %w", err)
	case errors.Is(err, errClosed):
		return err
	}
	return fmt.Errorf("%s (unit %s): %w", what, name, err)
}
