package memory

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// stretch is how much of a file the system maps around a page that is asked for, where nothing makes it map more.
const stretch = 64 << 10

// ReleaseProgram lets go of the code and constants that the start of the program looked at, and has what is needed later come back in pieces
// of 64 kB. It returns the bytes of the mappings that it did this for; where the system has no such way, 0.
//
// Starting touches code and constants all over the program, and most of it is not needed again. How much memory that takes depends on how the
// program's file lies in the page cache: in pieces of up to 2 MB, of which a single byte brings in the whole, so that all of the program
// (40 MB) counts for the memory of each process. A piece is never mapped beyond its mapping, and so the mappings are made small: two that lie
// side by side stay two if different advice was given on them. Nothing is lost: the pages are as they are in the file, and the system itself
// may let go of them at any time.
func ReleaseProgram() (released int64) {
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0
	}
	for _, m := range unchanged(maps) {
		for at := m.begin; m.end-at >= 2*stretch; at += 2 * stretch {
			advise(mapping{at, at + stretch}, syscall.MADV_RANDOM)
		}
		if advise(m, syscall.MADV_DONTNEED) {
			released += int64(m.end - m.begin)
		}
	}
	return released
}

// advise tells the system what a part of the address space is for; it reports whether that was taken.
func advise(m mapping, advice uintptr) bool {
	_, _, failed := syscall.Syscall(syscall.SYS_MADVISE, m.begin, m.end-m.begin, advice)
	return failed == 0
}

// mapping is a part of the address space, [begin, end).
type mapping struct{ begin, end uintptr }

// unchanged are the mappings of files, in the form of /proc/self/smaps, that cannot be written to and hold no page that ever was: one that
// differs from its file would be lost. The constants that the system's linker fills in before a program starts are such pages.
func unchanged(maps []byte) (out []mapping) {
	var m mapping
	candidate := false
	for line := range bytes.Lines(maps) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if begin, end, ok := bytes.Cut(fields[0], []byte("-")); ok {
			from, err := strconv.ParseUint(string(begin), 16, 64)
			to, err2 := strconv.ParseUint(string(end), 16, 64)
			private := string(fields[1]) == "r-xp" || string(fields[1]) == "r--p"
			candidate = err == nil && err2 == nil && private && len(fields) > 5 && fields[5][0] == '/'
			m = mapping{uintptr(from), uintptr(to)}
			continue
		}
		if candidate && string(fields[0]) == "Anonymous:" && string(fields[1]) == "0" {
			out = append(out, m)
		}
	}
	return out
}
