package engine

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/fault"
)

// fakeCUDA puts a small set in the place of the real ones and an index that serves it; a driver is there.
func fakeCUDA(t *testing.T) (index *fakeIndex, root string) {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the CUDA engine is for linux/amd64")
	}
	home := t.TempDir()
	t.Setenv(EnvHome, home)
	t.Setenv(EnvChoice, "")
	device := filepath.Join(home, "nvidiactl")
	if err := os.WriteFile(device, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	sets, oldDevice, oldVersion, oldFree := cudaSets, nvidiaDevice, nvidiaVersion, freeBytes
	t.Cleanup(func() { cudaSets, nvidiaDevice, nvidiaVersion, freeBytes = sets, oldDevice, oldVersion, oldFree })
	nvidiaDevice, nvidiaVersion = device, filepath.Join(home, "version")

	index = &fakeIndex{wheels: map[string][]byte{}}
	set := cudaSet{version: "13", driver: 580, folder: "cuda13", plugin: "jax_plugins/xla_cuda13/xla_cuda_plugin.so", root: "nvidia/cu13"}
	for _, w := range []struct {
		name  string
		files []string
	}{
		{"nvidia-first", []string{"nvidia/cu13/lib/libfirst.so.13", "nvidia/cu13/include/first.h", "nvidia_first-1.dist-info/licenses/License.txt"}},
		{"nvidia-second", []string{"nvidia/cu13/bin/ptxas", "nvidia/cu13/nvvm/libdevice/libdevice.10.bc", "../outside.so"}},
		{"jax-plugin", []string{set.plugin}},
	} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, name := range w.files {
			f, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(f, "content of "+name)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		one := wheel{w.name, "1", "any", int64(b.Len()), 100, fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))}
		set.wheels = append(set.wheels, one)
		index.wheels[one.file()] = b.Bytes()
	}
	cudaSets = []cudaSet{set}
	index.Server = httptest.NewServer(index)
	t.Cleanup(index.Close)
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	return index, filepath.Join(dir, set.folder)
}

type fakeIndex struct {
	*httptest.Server
	wheels map[string][]byte
	asked  []string
	gone   string // this one is not served
}

func (i *fakeIndex) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := strings.CutPrefix(r.URL.Path, "/files/"); ok {
		i.asked = append(i.asked, name)
		if name == i.gone {
			http.Error(w, "gone", http.StatusGone)
			return
		}
		_, _ = w.Write(i.wheels[name])
		return
	}
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/pypi/"), "/json")
	file := strings.ReplaceAll(name, "-", "_") + "-1-py3-none-any.whl"
	fmt.Fprintf(w, `{"releases":{"1":[{"filename":%q,"url":"../../files/%s"}]}}`, file, file)
}

func TestAnInstallOfCUDAGoesOnWhereItWas(t *testing.T) {
	index, root := fakeCUDA(t)
	index.gone = "jax_plugin-1-py3-none-any.whl"
	var last, total int64
	o := InstallOptions{CUDA: "auto", Index: index.URL, Progress: func(d, n int64) { last, total = d, n }}
	if _, err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "jax-plugin 1") {
		t.Fatalf("got %v, want that the plugin's wheel is gone", err)
	}
	if _, err := findPlugin(KindCUDA); err == nil || !strings.Contains(err.Error(), "jax-plugin is missing") || !strings.Contains(err.Error(), "install --cuda") {
		t.Errorf("half of it is there, got %v", err)
	}
	index.gone, index.asked = "", nil
	installed, err := Install(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"jax_plugin-1-py3-none-any.whl"}; !slices.Equal(index.asked, want) {
		t.Errorf("asked for %v, want %v", index.asked, want)
	}
	if last != total || total == 0 {
		t.Errorf("progress ends at %d of %d", last, total)
	}
	path, err := findPlugin(KindCUDA)
	if err != nil || path != installed.Path || installed.Already {
		t.Errorf("found %s, %v; installed %+v", path, err, installed)
	}
	var got []string
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if !e.IsDir() {
			rel, _ := filepath.Rel(root, path)
			got = append(got, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"jax_plugins/xla_cuda13/xla_cuda_plugin.so", "jax_plugins/xla_cuda13/xla_cuda_plugin.so.json", "nvidia/cu13/bin/ptxas", "nvidia/cu13/lib/libfirst.so.13",
		"nvidia/cu13/nvvm/libdevice/libdevice.10.bc", "nvidia_first-1.dist-info/licenses/License.txt", "wheels/jax-plugin.json", "wheels/nvidia-first.json", "wheels/nvidia-second.json",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
	if info, err := os.Stat(filepath.Join(root, "nvidia/cu13/bin/ptxas")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("ptxas cannot be executed: %v", err)
	}
	if again, err := Install(t.Context(), o); err != nil || !again.Already {
		t.Errorf("got %+v, %v", again, err)
	}

	// A library of another content and the same size: seen by its time, and mended by a second install.
	library := filepath.Join(root, "nvidia/cu13/lib/libfirst.so.13")
	content, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	content[0] ^= 1
	if err := errors.Join(os.WriteFile(library, content, 0o644), os.Chtimes(library, time.Now(), time.Unix(1, 0))); err != nil {
		t.Fatal(err)
	}
	if _, err := findPlugin(KindCUDA); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
	index.asked = nil
	if _, err := Install(t.Context(), o); err != nil || len(index.asked) != 1 {
		t.Errorf("asked for %v, %v", index.asked, err)
	}
	if _, err := findPlugin(KindCUDA); err != nil {
		t.Error(err)
	}
}

func TestInstallOfCUDARefuses(t *testing.T) {
	index, root := fakeCUDA(t)
	o := InstallOptions{CUDA: "auto", Index: index.URL}

	freeBytes = func(string) (int64, error) { return 99, nil }
	if _, err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "needs 0.0 GB in "+root) || len(index.asked) > 0 {
		t.Errorf("a full disk: %v", err)
	}
	freeBytes = func(string) (int64, error) { return 1 << 40, nil }

	if err := os.WriteFile(nvidiaVersion, []byte("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "470") || !strings.Contains(err.Error(), "580") {
		t.Errorf("an old driver: %v", err)
	}
	var usage *fault.Usage
	if _, err := Install(t.Context(), InstallOptions{CUDA: "11"}); !errors.As(err, &usage) {
		t.Errorf("CUDA 11: %v", err)
	}
	if err := os.Remove(nvidiaDevice); err != nil {
		t.Fatal(err)
	}
	o.CUDA = "13"
	if _, err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("no GPU: %v", err)
	}
	o.Force = true
	if _, err := Install(t.Context(), o); err != nil {
		t.Errorf("no GPU, forced: %v", err)
	}
}

func TestCUDAFromAFolder(t *testing.T) {
	index, _ := fakeCUDA(t)
	from := t.TempDir()
	o := InstallOptions{CUDA: "13", From: from}
	for name, content := range index.wheels {
		if _, err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want that %s is not there", err, name)
		}
		if err := os.WriteFile(filepath.Join(from, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	second := filepath.Join(from, "nvidia_second-1-py3-none-any.whl")
	if err := os.WriteFile(second, bytes.Repeat([]byte("a"), len(index.wheels[filepath.Base(second)])), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), second) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(second, index.wheels[filepath.Base(second)], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), o); err != nil || len(index.asked) > 0 {
		t.Errorf("got %v, asked for %v", err, index.asked)
	}
}

// TestCUDAFallsBack has a GPU, and a CUDA engine that is missing or cannot be loaded.
func TestCUDAFallsBack(t *testing.T) {
	if !xlaBuilt {
		t.Skip(xlaMissing)
	}
	index, root := fakeCUDA(t)
	plugin := os.Getenv("BALLAST_TEST_PLUGIN")
	if plugin != "" {
		if _, err := Install(t.Context(), InstallOptions{From: plugin}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{`"ballast engine install --cuda"`, root} {
		e, err := Open("")
		if err != nil {
			t.Fatal(err)
		}
		text := e.Hint
		if plugin == "" {
			if text = e.Hint + e.Why; want[0] == '"' {
				text += want // without any plugin the hint is the CPU plugin
			}
		}
		if e.Kind == KindCUDA || !strings.Contains(text, want) || strings.Contains(e.Why+e.Hint, "\n") || (plugin != "") != (e.Kind == KindCPU) {
			t.Errorf("got %+v, want %s", e.Describe(), want)
		}
		e.Close()
		if _, err := Open(KindCUDA); err == nil {
			t.Error("xla:cuda: no error")
		}
		if _, err := Install(t.Context(), InstallOptions{CUDA: "13", Index: index.URL}); err != nil { // its plugin is no library
			t.Fatal(err)
		}
	}
}

func TestTheDriverChoosesCUDA(t *testing.T) {
	old := nvidiaVersion
	t.Cleanup(func() { nvidiaVersion = old })
	nvidiaVersion = filepath.Join(t.TempDir(), "version")
	for text, want := range map[string]string{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12":                         "12",
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (root@host)": "13",
		"something else": "13",
	} {
		if err := os.WriteFile(nvidiaVersion, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if s, err := chooseCUDA("auto"); err != nil || s.version != want {
			t.Errorf("%s: got %s, %v, want %s", text, s.version, err, want)
		}
	}
}

// TestTheTableIsWhole looks for a digest, a size or a path that was forgotten.
func TestTheTableIsWhole(t *testing.T) {
	seen := map[string]string{}
	for _, s := range cudaSets {
		if !strings.Contains(s.folder, "cuda") || len(s.preload) == 0 || !keep.MatchString(s.plugin) {
			t.Errorf("%+v", s)
		}
		for _, l := range s.preload {
			if !keep.MatchString(l) {
				t.Errorf("%s is not unpacked", l)
			}
		}
		for _, w := range append(slices.Clone(s.wheels), cpuWheel) {
			if len(w.sha256) != 64 || w.size <= 0 || w.kept <= 0 || w.version == "" || w.platform == "" || seen[w.sha256] != "" && seen[w.sha256] != w.name {
				t.Errorf("%+v", w)
			}
			seen[w.sha256] = w.name
		}
	}
}
