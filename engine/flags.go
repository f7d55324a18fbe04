package engine

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
)

// cpuFlags make XLA's CPU plugin compute convolutions with the oneDNN kernels that are built into it, two to three times
// as fast as its own, and leave sums to YNNPACK, which is five times faster at them than generated loops.
var cpuFlags = []string{
	"--xla_cpu_experimental_onednn_custom_call=true",
	"--xla_cpu_experimental_ynn_fusion_type=REDUCE",
}

// setFlags puts cpuFlags into XLA_FLAGS, which the plugin reads once, when it first needs them. What the user has set there
// stays. A plugin ends the process at a flag it does not know, so a plugin gets only those whose names are in its file.
func setFlags(plugin string) error {
	var wanted []string
	set := os.Getenv("XLA_FLAGS")
	for _, flag := range cpuFlags {
		if name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "="); !strings.Contains(set, name) {
			wanted = append(wanted, flag)
		}
	}
	if m, err := readMarker(plugin); err != nil || m.SHA256 != pluginSHA256 {
		known, err := knownFlags(plugin, wanted)
		if err != nil {
			return err
		}
		wanted = known
	}
	if len(wanted) == 0 {
		return nil
	}
	return os.Setenv("XLA_FLAGS", strings.TrimSpace(strings.Join(wanted, " ")+" "+set))
}

// knownFlags returns the flags whose names stand in the file.
func knownFlags(path string, flags []string) (known []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const longest = 128 // no name is longer; the end of each block is read again with the next
	found := make([]bool, len(flags))
	block := make([]byte, 4<<20)
	kept := 0
	for {
		n, err := io.ReadFull(f, block[kept:])
		for i, flag := range flags {
			name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
			found[i] = found[i] || bytes.Contains(block[:kept+n], []byte(name))
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			return nil, err
		}
		kept = copy(block, block[len(block)-longest:])
	}
	for i, flag := range flags {
		if found[i] {
			known = append(known, flag)
		}
	}
	return known, nil
}
