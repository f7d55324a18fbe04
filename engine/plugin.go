package engine

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// pluginFile is the name of the CPU plugin in the engine folder.
const pluginFile = "pjrt_c_api_cpu_plugin.so"

// marker stands beside an installed plugin and says which bytes were found good. Size and modification time spare hashing
// 200 MB at every start; when they differ, the digest decides.
type marker struct {
	Version  string `json:"version"` // package and version, or the file it came from
	SHA256   string `json:"sha256"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // nanoseconds since 1970

	// Next is the plugin that an install is putting in this one's place: until it has, either may be there.
	Next *marker `json:"next,omitempty"`
}

func markerPath(plugin string) string { return plugin + ".json" }

// notInstalled says that a plugin is not there at all.
type notInstalled struct{ path string }

func (e *notInstalled) Error() string { return "no XLA plugin at " + e.path }

// findPlugin returns the installed plugin of a kind after checking that its bytes are the installed ones.
func findPlugin(kind string) (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	if kind == KindCUDA {
		return findCUDA(dir)
	}
	path := filepath.Join(dir, pluginFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", &notInstalled{path}
	}
	m, err := readMarker(path)
	if err != nil {
		return "", &fault.Input{File: path, Err: fmt.Errorf("it was not installed by Ballast (%w)", err), Fix: `run "ballast engine install" again`}
	}
	if err := m.verify(path); err != nil {
		return "", err
	}
	return path, nil
}

// verify checks that the plugin is the one that was installed, or the one that an install was putting in its place.
func (m marker) verify(path string) error {
	err := m.fits(path)
	if err != nil && m.Next != nil && m.Next.fits(path) == nil {
		return nil
	}
	return err
}

func (m marker) fits(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("plugin: %w", err)
	}
	damaged := func(what string, args ...any) error {
		return &fault.Input{File: path, Err: fmt.Errorf("the XLA plugin is damaged: "+what, args...), Fix: `run "ballast engine install" again`}
	}
	if info.Size() != m.Size {
		return damaged("want %d bytes, got %d", m.Size, info.Size())
	}
	if info.ModTime().UnixNano() == m.Modified {
		return nil
	}
	digest, err := fileDigest(path)
	if err != nil {
		return err
	}
	if digest != m.SHA256 {
		return damaged("SHA-256 is %s, want %s", digest, m.SHA256)
	}
	return nil
}

// mark writes the marker of a plugin whose bytes have the digest.
func mark(path, version, digest string) error {
	m, err := markerOf(path, version, digest)
	if err != nil {
		return err
	}
	return m.write(path)
}

func markerOf(path, version, digest string) (marker, error) {
	info, err := os.Stat(path)
	if err != nil {
		return marker{}, fmt.Errorf("plugin: %w", err)
	}
	return marker{Version: version, SHA256: digest, Size: info.Size(), Modified: info.ModTime().UnixNano()}, nil
}

// write writes the marker of the plugin at path.
func (m marker) write(path string) error {
	return durable.WriteFile(markerPath(path), func(w io.Writer) error { return json.NewEncoder(w).Encode(m) })
}

// readMarker returns the marker of a plugin: of the one that is there, if an install was killed between two.
func readMarker(plugin string) (marker, error) {
	var m marker
	const most = 1 << 16 // a marker has 200 bytes
	data, err := untrusted.ReadFile(markerPath(plugin), most)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, err
	}
	if m.Next != nil {
		m.Next.Next = nil // there is one step, not a list
		if info, err := os.Stat(plugin); err == nil && info.Size() == m.Next.Size && info.ModTime().UnixNano() == m.Next.Modified {
			m = *m.Next
		}
	}
	return m, nil
}

// checkPlugin looks at a plugin that Ballast did not install. A cut or foreign shared library must not reach the loader,
// which would kill the process.
func checkPlugin(path string) error {
	bad := func(err error) error {
		return &fault.Input{File: path, Err: fmt.Errorf("not a usable XLA plugin: %w", err), Fix: "use the pjrt_c_api_..._plugin.so of a PJRT package for this machine"}
	}
	if !strings.Contains(path, "cpu") && !strings.Contains(path, "cuda") {
		return bad(errors.New(`the path contains neither "cpu" nor "cuda"`))
	}
	if m, err := readMarker(path); err == nil {
		return m.verify(path)
	}
	if runtime.GOOS != "linux" {
		_, err := os.Stat(path)
		return err
	}
	file, err := untrusted.Open(path)
	if err != nil {
		return bad(untrusted.Reason(err))
	}
	defer file.Close() //nolint:errcheck // only read
	f, err := elf.NewFile(file)
	if err != nil {
		return bad(err)
	}
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]; f.Machine != want {
		return bad(fmt.Errorf("it is for %v, this machine is %v", f.Machine, want))
	}
	if f.Type != elf.ET_DYN {
		return bad(fmt.Errorf("it is an ELF file of type %v, not a shared library", f.Type))
	}
	info, err := os.Stat(path)
	if err != nil {
		return bad(err)
	}
	for _, p := range f.Progs {
		if end := p.Off + p.Filesz; end < p.Off || end > uint64(info.Size()) {
			return bad(fmt.Errorf("it is cut short: %d bytes, its segments reach to %d", info.Size(), end))
		}
	}
	for _, s := range f.Sections {
		if end := s.Offset + s.FileSize; s.Type != elf.SHT_NOBITS && (end < s.Offset || end > uint64(info.Size())) {
			return bad(fmt.Errorf("it is cut short: %d bytes, its sections reach to %d", info.Size(), end))
		}
	}
	if symbols, err := f.DynamicSymbols(); err == nil {
		for _, s := range symbols {
			if s.Name == "GetPjrtApi" {
				return nil
			}
		}
	}
	return bad(errors.New("it does not export GetPjrtApi"))
}

func fileDigest(path string) (string, error) {
	f, err := untrusted.Open(path)
	if err != nil {
		return "", fmt.Errorf("plugin: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("plugin: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// patience is how long a plugin may take to load when it is tried: 400 MB from a slow disk are well within it.
func patience() (time.Duration, error) {
	text := os.Getenv(EnvPatience)
	if text == "" {
		return time.Minute, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > 24*time.Hour {
		return 0, &fault.Usage{Err: fmt.Errorf("engine: %s is %q, want a time such as 30s or 2m", EnvPatience, text)}
	}
	return d, nil
}
