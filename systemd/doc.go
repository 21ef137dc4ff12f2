// Package systemd holds what makes oncue a system service: the units, their example drop-ins, and the Debian package. There is no code in it but
// its tests, which build the package, put it through its life in a clean Debian, and run it under a real systemd.
package systemd
