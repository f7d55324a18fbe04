package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ballast-ml/ballast/internal/leftover"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// EnvCache is the environment variable that, set to "on", keeps compiled graphs on the disk. It is off by default: the
// plugin ends the process when it is asked to serialise what it cannot, and only its calls into oneDNN can be told before.
const EnvCache = "BALLAST_COMPILE_CACHE"

// cacheBytes is the size beyond which the programs not used for longest are removed.
const cacheBytes = 1 << 30

// programsFolder is the folder of compiled programs in the engine folder.
const programsFolder = "programs"

// Programs counts the graphs that the process has had from XLA.
type Programs struct {
	Compiled int `json:"compiled"`
	Cached   int `json:"cached"` // loaded as they were compiled by an earlier process
}

// programs is the cache of the plugin that is loaded; there is one plugin a process.
var programs atomic.Pointer[programCache]

// CompiledPrograms returns how many graphs were compiled and how many came from the cache.
func CompiledPrograms() Programs {
	c := programs.Load()
	if c == nil {
		return Programs{}
	}
	return Programs{Compiled: int(c.compiled.Load()), Cached: int(c.loaded.Load())}
}

// programCache keeps compiled programs in a folder, one file each, under a digest of all that they depend on: the graph,
// the options, the plugin, its flags and the CPU. A file begins with the digest of what follows; one that is damaged, or
// that the plugin refuses, is compiled again.
type programCache struct {
	dir              string
	of               []byte // digest of plugin, flags and CPU
	compiled, loaded atomic.Int64
}

func newProgramCache(plugin string) (*programCache, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, programsFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	info, err := os.Stat(plugin)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	field := func(s string) {
		_ = binary.Write(h, binary.LittleEndian, int64(len(s))) // a hash takes every write
		h.Write([]byte(s))
	}
	if m, err := readMarker(plugin); err == nil {
		field(m.SHA256)
	} else {
		field(plugin + info.ModTime().UTC().Format(time.RFC3339Nano))
		_ = binary.Write(h, binary.LittleEndian, info.Size())
	}
	field(os.Getenv("XLA_FLAGS"))
	field(cpuFeatures())
	return &programCache{dir: dir, of: h.Sum(nil)}, nil
}

// cpuFeatures is what programs are compiled for; one of another CPU may hold instructions that this one has not.
func cpuFeatures() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	var kept []string
	for line := range strings.Lines(string(data)) {
		if strings.TrimSpace(line) == "" {
			break // the other cores are the same
		}
		for _, name := range []string{"model name", "model\t", "stepping", "flags", "Features", "CPU part"} {
			if strings.HasPrefix(line, name) {
				kept = append(kept, line)
			}
		}
	}
	return strings.Join(kept, "")
}

func (c *programCache) key(code, options []byte) string {
	h := sha256.New()
	h.Write(c.of)
	_ = binary.Write(h, binary.LittleEndian, int64(len(code))) // a hash takes every write
	h.Write(code)
	h.Write(options)
	return hex.EncodeToString(h.Sum(nil))
}

// get returns a program, nil if there is none that is whole.
func (c *programCache) get(key string) []byte {
	path := filepath.Join(c.dir, key)
	data, err := untrusted.ReadFileNoLink(path, cacheBytes)
	if err != nil {
		return nil
	}
	if len(data) < sha256.Size {
		return nil
	}
	if digest := sha256.Sum256(data[sha256.Size:]); !bytes.Equal(digest[:], data[:sha256.Size]) {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // used last; a cache may forget it
	return data[sha256.Size:]
}

// put keeps a program. A cache that cannot be written is no cache, and no harm.
func (c *programCache) put(key string, program []byte) {
	f, err := os.CreateTemp(c.dir, ".tmp-*")
	if err != nil {
		return
	}
	digest := sha256.Sum256(program)
	_, err = f.Write(digest[:])
	if err == nil {
		_, err = f.Write(program)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.dir, key))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return
	}
	c.trim()
}

// trim removes what was not used for longest, and what was left unfinished.
func (c *programCache) trim() {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	var files []os.FileInfo
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		if leftover.Is(e.Name()) {
			if time.Since(info.ModTime()) > leftover.Abandoned {
				_ = os.Remove(filepath.Join(c.dir, e.Name())) // a cache may keep it
			}
			continue
		}
		files = append(files, info)
		total += info.Size()
	}
	if total <= cacheBytes {
		return
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		if total <= cacheBytes/2 {
			return
		}
		if os.Remove(filepath.Join(c.dir, f.Name())) == nil {
			total -= f.Size()
		}
	}
}
