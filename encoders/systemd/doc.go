// Package systemd starts and stops a unit of this host, by systemd's own interface on the system
// bus (D-Bus), as `systemctl start` and `systemctl stop` do.
//
// Read [Settings] first, then [Encoder.Start]. What the unit does is read from its properties, and
// systemd's signals say when to read them. systemd gives each start of a unit an invocation id: by
// the one that is remembered a restarted controller knows its own start from somebody else's, and a
// restart by systemd itself (Restart=) is told by its count. A unit that is active is switched on;
// whether it delivers, systemd cannot know.
//
// Who may start and stop which unit is polkit's to say. The package installs a rule for that,
// /etc/polkit-1/rules.d/50-oncue.rules, in which a user names the units; see
// configs/docs/systemd.md.
//
// Sources: org.freedesktop.systemd1(5), systemd.unit(5), systemd.exec(5). Tried with systemd 252.
//
// The files:
//
//	settings.go          what a user can set, and the unit's name for a stream
//	bus.go               the connection, its signals, and who follows which unit
//	unit.go              what systemd says of a unit, in words
//	started.go           whose start it was, and what a reading means for it
//	systemd.go           the encoder: reading, Status, Watch
//	start.go, stop.go    the calls of the controller
//	log.go               the unit's lines in the journal
//	check.go, errors.go  what people are told
package systemd
