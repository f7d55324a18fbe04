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
const (
	packageName    = "lammps-jax-pjrt-cpu"
	packageVersion = "0.11.2"
	wheelSHA256    = "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1"
	pluginSHA256   = "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2"

	defaultIndex = "https://pypi.org"
)

// InstallOptions say what to install and where from.
type InstallOptions struct {
	From     string                  // a wheel or a plugin on this machine, for installing offline; "" = download
	Index    string                  // address of a Python package index; "" = pypi.org
	Force    bool                    // install even if an undamaged plugin is there
	Progress func(done, total int64) // bytes of the download; total is 0 when unknown
}

// Installed says what is there after Install.
type Installed struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Already bool   `json:"already"` // it was there before
}

// Install puts the XLA CPU plugin into the engine folder. The package is downloaded to a temporary file, its checksum
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
	if !o.Force && o.From == "" {
		if p, err := findPlugin(KindCPU); err == nil {
			m, err := readMarker(p)
			return Installed{Path: p, Version: m.Version, SHA256: m.SHA256, Already: true}, err
		}
	}
	target := filepath.Join(dir, pluginFiles[KindCPU])
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
	index := o.Index
	if index == "" {
		index = defaultIndex
	}
	wheel, err := os.CreateTemp(filepath.Dir(target), ".wheel.tmp-*")
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer func() {
		wheel.Close()
		os.Remove(wheel.Name()) //nolint:errcheck // a temporary file that cannot be removed does no harm
	}()
	const tries = 3
	var problems []error
	for range tries {
		if err = fetch(ctx, index, wheel, o.Progress); err == nil {
			return installWheel(wheel, target, packageName+" "+packageVersion)
		}
		if problems = append(problems, err); ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("engine: download of %s %s: %w; try again, or download the package elsewhere and use --from FILE", packageName, packageVersion, last(problems))
}

// fetch asks the index for the package and copies it into a file, from the start, checking its digest.
func fetch(ctx context.Context, index string, into *os.File, progress func(done, total int64)) error {
	page, err := get(ctx, index+"/pypi/"+packageName+"/json")
	if err != nil {
		return err
	}
	defer page.Body.Close()
	var info installer.PipPackageInfo
	if err := json.NewDecoder(page.Body).Decode(&info); err != nil {
		return fmt.Errorf("the index's answer: %w", err)
	}
	release, err := installer.PipSelectRelease(info.Releases[packageVersion], installer.PipPackageLinuxAMD64(), false)
	if err != nil {
		return err
	}
	// A mirror may answer with an address relative to the package's page in its index.
	base, err := url.Parse(index + "/simple/" + packageName + "/")
	if err != nil {
		return err
	}
	address, err := base.Parse(release.URL)
	if err != nil {
		return err
	}
	response, err := get(ctx, address.String())
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
	if digest := hex.EncodeToString(h.Sum(nil)); digest != wheelSHA256 {
		return fmt.Errorf("%s: SHA-256 is %s, want %s", path.Base(address.Path), digest, wheelSHA256)
	}
	return nil
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
	digest, err := fileDigest(from)
	if err != nil {
		return &fault.Input{File: from, Err: err, Mend: "give a wheel (.whl) or a plugin (.so)"}
	}
	if digest != wheelSHA256 {
		return &fault.Input{
			File: from, Err: fmt.Errorf("SHA-256 is %s, want %s", digest, wheelSHA256),
			Mend: fmt.Sprintf("download %s %s for linux/amd64 again, or give the .so of another package", packageName, packageVersion),
		}
	}
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer f.Close()
	return installWheel(f, target, packageName+" "+packageVersion)
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
		if path.Base(f.Name) != pluginFiles[KindCPU] {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("engine: %s: %w", f.Name, err)
		}
		return errors.Join(place(r, target, version, pluginSHA256), r.Close())
	}
	return &fault.Input{File: wheel.Name(), Err: fmt.Errorf("no %s inside", pluginFiles[KindCPU]), Mend: "give a wheel of " + packageName}
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
