package engine

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gomlx/go-xla/installer"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/download"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/leftover"
	"github.com/ballast-ml/ballast/internal/lock"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// The package that carries the XLA CPU plugin for linux/amd64, built from the XLA of jaxlib of the same version.
var cpuWheel = wheel{
	"lammps-jax-pjrt-cpu", "0.11.2", "manylinux_2_27_x86_64", 62_711_338, 201_600_336,
	"1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
}

const (
	pluginSHA256 = "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2" // of the plugin in it
	defaultIndex = "https://pypi.org"
)

// InstallOptions select what to install and from where.
type InstallOptions struct {
	CUDA     string                  // "" = the CPU plugin; "13" or "12" = the CUDA plugin and CUDA's libraries; "auto" = as the driver needs
	From     string                  // a wheel or a plugin on this machine, with CUDA a folder of wheels; "" = download
	Index    string                  // address of a Python package index; "" = pypi.org
	Force    bool                    // install even if an undamaged plugin is there; with CUDA even without a GPU
	Progress func(done, total int64) // bytes of the download; total is 0 when unknown
	Waiting  func(owner string)      // told when another process ("process 123") is installing and has to be waited for; may be nil

	timing download.Timing // shorter limits, for tests
}

// Installed describes the result of Install.
type Installed struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Already bool   `json:"already"` // it was there before
}

// Install puts the XLA CPU plugin, or with CUDA the CUDA plugin and its libraries, into the engine folder. The package is
// downloaded to a temporary file, its size and checksum are compared with those of the one this version of Ballast was tested with, and the
// plugin inside is written, synced and renamed into place: whenever it is cut or killed, what was installed before stays and works.
// A download that was cut is tried again twice; one that stalls for 30 s or takes longer than its size explains is given up. A
// plugin given by From is accepted when it is a shared library for this machine that exports the PJRT interface. One process at a time
// installs; what an earlier one that was killed left is removed.
func Install(ctx context.Context, o InstallOptions) (Installed, error) {
	dir, err := Dir()
	if err != nil {
		return Installed{}, err
	}
	held, err := lock.Take(ctx, lockPath(dir), o.Waiting)
	if err != nil {
		return Installed{}, fmt.Errorf("engine: %w", err)
	}
	defer func() { _ = held.Release() }() // the process's end releases it too
	defer durable.Cover(dir)()
	if err := removeLeftovers(dir); err != nil {
		return Installed{}, fmt.Errorf("engine: %w", err)
	}
	if o.CUDA != "" {
		return installCUDA(ctx, dir, o)
	}
	if !o.Force && o.From == "" {
		if p, err := findPlugin(KindCPU); err == nil {
			m, err := readMarker(p)
			return Installed{Path: p, Version: m.Version, SHA256: m.SHA256, Already: true}, err
		}
	}
	target := filepath.Join(dir, pluginFile)
	switch {
	case o.From == "":
		err = installDownload(ctx, o, target)
	case strings.HasSuffix(o.From, ".so"):
		err = installFile(ctx, o.From, target)
	default:
		err = installWheelFile(ctx, o.From, target)
	}
	if err != nil {
		return Installed{}, err
	}
	m, err := readMarker(target)
	return Installed{Path: target, Version: m.Version, SHA256: m.SHA256}, err
}

// removeLeftovers removes what installs that were killed left. The caller holds the lock.
func removeLeftovers(dir string) error {
	found, err := leftover.Find(dir)
	errs := []error{err}
	for _, l := range found {
		if !isProgram(l.Path) {
			errs = append(errs, os.RemoveAll(l.Path))
		}
	}
	return errors.Join(errs...)
}

// isProgram reports whether a path is an unfinished program, which belongs to a process that compiles and not to an install.
func isProgram(path string) bool { return filepath.Base(filepath.Dir(path)) == programsFolder }

// Leftovers lists the files that killed installs and compilations left in the engine folder, and removes them if remove is set. Files
// that another process may be writing are kept.
func Leftovers(remove bool) ([]leftover.Left, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	found, err := leftover.Locked(dir, lockPath(dir), isProgram, remove)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	programs, err := leftover.Aged(filepath.Join(dir, programsFolder), false, remove)
	return append(found, programs...), err
}

// lockPath is the lock of the engine folder.
func lockPath(dir string) string { return filepath.Join(dir, "lock") }

// installDownload fetches the wheel and installs the plugin in it.
func installDownload(ctx context.Context, o InstallOptions, target string) error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("engine: no XLA CPU plugin is known for %s/%s; the Go engine works here, and \"ballast engine install --from FILE\" takes a plugin you have", runtime.GOOS, runtime.GOARCH)
	}
	return downloaded(ctx, o, cpuWheel, filepath.Dir(target), o.Progress, func(f *os.File) error {
		return installWheel(ctx, f, target, cpuWheel.name+" "+cpuWheel.version)
	})
}

// downloaded fetches a wheel into a temporary file of a folder, hands it over, and removes it. What breaks off is tried
// again twice.
func downloaded(ctx context.Context, o InstallOptions, w wheel, dir string, progress func(done, total int64), use func(*os.File) error) error {
	index := o.Index
	if index == "" {
		index = defaultIndex
	}
	if err := download.Check(index); err != nil {
		return &fault.Usage{Err: fmt.Errorf("engine: the index: %w; give an address such as https://host, or use --from for what is on this machine", err)}
	}
	file, err := os.CreateTemp(dir, ".wheel.tmp-*")
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer func() {
		file.Close()
		os.Remove(file.Name()) //nolint:errcheck // a temporary file that cannot be removed does no harm
	}()
	whole := o.timing.Whole
	if whole == 0 {
		whole = download.TimeFor(w.size + download.IndexLimit)
	}
	err = download.Again(ctx, whole, func(ctx context.Context) error { return fetch(ctx, index, w, file, progress, o.timing) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("engine: download of %s %s: %w; try again, or download the package elsewhere and use --from FILE", w.name, w.version, err)
	}
	return use(file)
}

// fetch asks the index for a package and copies its wheel into a file, from the start, checking its size and digest.
func fetch(ctx context.Context, index string, w wheel, into *os.File, progress func(done, total int64), timing download.Timing) error {
	address, err := w.address(ctx, index, timing)
	if err != nil {
		return err
	}
	if err := into.Truncate(0); err != nil {
		return err
	}
	if _, err := into.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	f := download.Fetch{Address: address, Limit: w.size, Exact: true, Progress: progress, Timing: timing}
	if _, err := f.To(ctx, io.MultiWriter(into, h)); err != nil {
		return err
	}
	if digest := hex.EncodeToString(h.Sum(nil)); digest != w.sha256 {
		return fmt.Errorf("%s: SHA-256 is %s, want %s", w.file(), digest, w.sha256)
	}
	return nil
}

// address asks the index where a wheel is.
func (w wheel) address(ctx context.Context, index string, timing download.Timing) (string, error) {
	index = strings.TrimSuffix(index, "/")
	page := index + "/pypi/" + w.name + "/json"
	var answer bytes.Buffer
	if _, err := (download.Fetch{Address: page, Limit: download.IndexLimit, Timing: timing}).To(ctx, &answer); err != nil {
		return "", err
	}
	var info installer.PipPackageInfo
	if err := json.Unmarshal(answer.Bytes(), &info); err != nil {
		return "", fmt.Errorf("%s: the answer is not that of a package index: %w", download.Redacted(page), err)
	}
	for _, release := range info.Releases[w.version] {
		if release.Filename == w.file() {
			// A mirror may answer with an address relative to the package's page in its index.
			return download.Link(index+"/simple/"+w.name+"/", release.URL)
		}
	}
	return "", fmt.Errorf("%s: the index has no %s", download.Redacted(page), w.file())
}

// installWheelFile installs from a wheel on this machine. One with another digest than the tested one is refused: what is
// inside would be loaded into the process.
func installWheelFile(ctx context.Context, from, target string) error {
	if err := wantDigest(ctx, from, cpuWheel); err != nil {
		return err
	}
	f, err := untrusted.Open(from)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	return installWheel(ctx, f, target, cpuWheel.name+" "+cpuWheel.version)
}

// wantDigest compares a file with the wheel that it should be: first the size, so that nothing else is read.
func wantDigest(ctx context.Context, from string, w wheel) error {
	const fix = "give a wheel (.whl) or a plugin (.so)"
	f, err := untrusted.Open(from)
	if err != nil {
		return &fault.Input{File: from, Err: untrusted.Reason(err), Fix: fix}
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if info.Size() != w.size {
		return &fault.Input{
			File: from, Err: fmt.Errorf("want %d bytes, got %d", w.size, info.Size()),
			Fix: fmt.Sprintf("give the wheel of %s %s for linux/amd64, or a plugin (.so)", w.name, w.version),
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, download.Stoppable(ctx, f)); err != nil {
		return fmt.Errorf("engine: %s: %w", from, err)
	}
	digest := hex.EncodeToString(h.Sum(nil))
	if digest != w.sha256 {
		return &fault.Input{
			File: from, Err: fmt.Errorf("SHA-256 is %s, want %s", digest, w.sha256),
			Fix: fmt.Sprintf("download %s %s for linux/amd64 again", w.name, w.version),
		}
	}
	return nil
}

// installWheel unpacks the plugin of a wheel whose digest was checked.
func installWheel(ctx context.Context, wheel *os.File, target, version string) error {
	info, err := wheel.Stat()
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	archive, err := zip.NewReader(wheel, info.Size())
	if err != nil {
		return &fault.Input{File: wheel.Name(), Err: err, Fix: "give a wheel (.whl) or a plugin (.so)"}
	}
	for _, f := range archive.File {
		if path.Base(f.Name) != pluginFile {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("engine: %s: %w", f.Name, err)
		}
		return errors.Join(place(download.Stoppable(ctx, r), target, version, pluginSHA256), r.Close())
	}
	return &fault.Input{File: wheel.Name(), Err: fmt.Errorf("no %s inside", pluginFile), Fix: "give a wheel of " + cpuWheel.name}
}

// installFile installs a plugin that is not the tested one.
func installFile(ctx context.Context, from, target string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if err := checkPlugin(from); err != nil {
		return err
	}
	if err := tryPlugin(from); err != nil {
		return err
	}
	f, err := untrusted.Open(from)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	return place(download.Stoppable(ctx, f), target, filepath.Base(from), "")
}

// place writes a plugin into its place and marks it. Whenever this is killed, the marker fits the plugin that is there: the new one is
// written whole under a temporary name, then the marker is made to name both, then the new one takes the old one's place, and
// then the marker names it alone.
func place(r io.Reader, target, version, want string) error {
	dir := filepath.Dir(target)
	f, err := os.CreateTemp(dir, "."+filepath.Base(target)+".tmp-*")
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	staged := f.Name()
	defer os.Remove(staged) //nolint:errcheck // it was renamed, or is removed by the next install

	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), r)
	if err == nil {
		if digest := h.Sum(nil); want != "" && !bytes.Equal(digest, mustHex(want)) {
			err = fmt.Errorf("the plugin's SHA-256 is %x, want %s", digest, want)
		}
	}
	if err == nil {
		err = errors.Join(f.Chmod(0o644), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("engine: %w", err)
	}

	next, err := markerOf(staged, version, hex.EncodeToString(h.Sum(nil)))
	if err != nil {
		return err
	}
	both := next
	if old, err := readMarker(target); err == nil {
		both = old
		both.Next = &next
	}
	if err := both.write(target); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if err := os.Rename(staged, target); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if err := durable.SyncDir(dir); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	return next.write(target)
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err) // a constant of this file
	}
	return b
}
