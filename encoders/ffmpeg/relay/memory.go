package relay

import (
	"debug/elf"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// save makes the process take little memory, which counts beside each camera. It does its small
// work on one core whatever the host has, and makes little garbage.
func save() {
	debug.SetGCPercent(25)
	runtime.GOMAXPROCS(1)
	runtime.MemProfileRate = 0
}

// shed gives back what the beginning took: all packages of this program begin with tables of their
// own, of which a relay needs few. What cannot be written to is as in the program's file, from
// which the kernel brings it back as it is used: 16 MB become 10.
func shed() {
	debug.FreeOSMemory()
	program, err := elf.Open("/proc/self/exe") // the table of mappings is closed to a relay
	if err != nil {
		return
	}
	defer program.Close()
	moved, ok := movedBy(program)
	if !ok {
		return
	}
	page := uintptr(unix.Getpagesize())
	for _, p := range program.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_W == 0 {
			from := (moved + uintptr(p.Vaddr)) &^ (page - 1)
			to := (moved + uintptr(p.Vaddr+p.Filesz)) &^ (page - 1)
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
		}
	}
}

// movedBy is how far the program lies from the addresses in its file; 0 unless it can lie anywhere.
func movedBy(program *elf.File) (moved uintptr, ok bool) {
	const headers = 3 // AT_PHDR: where the program's headers are
	auxv, err := unix.Auxv()
	if err != nil {
		return 0, false
	}
	for _, p := range program.Progs {
		for _, entry := range auxv {
			if p.Type == elf.PT_PHDR && entry[0] == headers {
				return entry[1] - uintptr(p.Vaddr), true
			}
		}
	}
	return 0, false
}
