package memory

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// machineLimit is three quarters of the smallest of the machine's memory, the control groups' and RLIMIT_AS.
func machineLimit() int64 {
	most := int64(16 << 30)
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		most = int64(info.Totalram) * int64(info.Unit) //nolint:unconvert // the fields are 32 bits wide elsewhere
	}
	var as syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_AS, &as) == nil && as.Cur > 0 && as.Cur < uint64(most) {
		most = int64(as.Cur)
	}
	if group := controlGroupLimit("/sys/fs/cgroup", "/proc/self/cgroup"); group > 0 {
		most = min(most, group)
	}
	return most / 4 * 3
}

// controlGroupLimit is the smallest memory limit on the way from the process's control group to the root; 0 if there is none.
func controlGroupLimit(root, self string) int64 {
	text, err := os.ReadFile(self)
	if err != nil {
		return 0
	}
	least := int64(0)
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		dir, file := root, "memory.max"
		if strings.Contains(","+parts[1]+",", ",memory,") {
			dir, file = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		} else if parts[1] != "" {
			continue
		}
		for at := filepath.Clean("/" + parts[2]); ; at = filepath.Dir(at) {
			if value, err := os.ReadFile(filepath.Join(dir, at, file)); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(value)), 10, 64); err == nil && n > 0 && (least == 0 || n < least) {
					least = n
				}
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}
