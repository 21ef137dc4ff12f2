// Package systemd contains what makes oncue a system service: the units, their example drop-ins,
// and the Debian package. Its only code is tests: they build the package, install, upgrade and
// remove it in a clean Debian, and run it under a real systemd.
package systemd
