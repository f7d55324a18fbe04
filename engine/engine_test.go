package engine_test

import (
	"archive/zip"
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
)

const pluginName = "pjrt_c_api_cpu_plugin.so"

// home is an empty data folder.
func home(t *testing.T) (dir string) {
	t.Helper()
	t.Setenv(engine.EnvHome, t.TempDir())
	t.Setenv(engine.EnvChoice, "")
	dir, err := engine.Dir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWithoutAPluginTheGoEngineIsChosenAndSaysSo(t *testing.T) {
	home(t)
	e, err := engine.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Kind != engine.KindGo || e.Why == "" || e.Hint == "" || strings.Contains(e.Why+e.Hint, "\n") {
		t.Errorf("got %+v", e.Describe())
	}
}

// TestADamagedPluginIsOneLine plants plugins that would kill the process or confuse it.
func TestADamagedPluginIsOneLine(t *testing.T) {
	if runtime.GOOS != "linux" || mustGo(t).BuiltWith != "cgo and XLA" {
		t.Skip("needs a build with XLA on linux")
	}
	whole := sharedLibrary(elf.EM_X86_64)
	if runtime.GOARCH == "arm64" {
		whole = sharedLibrary(elf.EM_AARCH64)
	}
	other := sharedLibrary(elf.EM_PPC64)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"cut":          {whole[:len(whole)-100], "cut short"},
		"random":       {[]byte("this is no shared library"), "not a usable XLA plugin"},
		"other CPU":    {other, "EM_PPC64"},
		"no interface": {whole, "GetPjrtApi"},
		"empty":        {nil, "not a usable XLA plugin"},
	} {
		path := filepath.Join(t.TempDir(), pluginName)
		write(t, path, c.content)
		_, err := engine.Open("xla:" + path)
		var bad *fault.Input
		if err == nil || !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if _, err := engine.Install(t.Context(), engine.InstallOptions{From: path}); err == nil {
			t.Errorf("%s: installed", name)
		}
	}

	// The same in the engine folder: the automatic choice falls back.
	for name, marker := range map[string]string{
		"not installed by us": "",
		"other size":          `{"version":"x","sha256":"00","size":1,"modified":0}`,
		"other digest":        fmt.Sprintf(`{"version":"x","sha256":"00","size":%d,"modified":0}`, len(whole)),
	} {
		dir := home(t)
		write(t, filepath.Join(dir, pluginName), whole)
		if marker != "" {
			write(t, filepath.Join(dir, pluginName+".json"), []byte(marker))
		}
		e, err := engine.Open("")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e.Kind != engine.KindGo || !strings.Contains(e.Why, pluginName) || !strings.Contains(e.Why, "ballast engine install") {
			t.Errorf("%s: got %+v", name, e.Describe())
		}
		e.Close()
	}
}

func TestChoices(t *testing.T) {
	home(t)
	for choice, want := range map[string]string{"xlaa": "no engine", "xla:cuda": "xla:cuda", "xla:/nowhere/cpu.so": "/nowhere/cpu.so", "xla:/nowhere/x.so": "neither"} {
		if _, err := engine.Open(choice); err == nil || !strings.Contains(err.Error(), want) {
			if !strings.Contains(fmt.Sprint(err), "no XLA") { // a build without it says that
				t.Errorf("%s: got %v, want %q", choice, err, want)
			}
		}
	}
	t.Setenv(engine.EnvChoice, "go")
	e, err := engine.Open("")
	if err != nil || e.Kind != engine.KindGo || !strings.Contains(e.Why, engine.EnvChoice) {
		t.Errorf("got %+v, %v", e, err)
	}
}

// TestACutDownloadLeavesNothingBroken serves the index and a wheel that breaks off, is another one, or never comes.
func TestACutDownloadLeavesNothingBroken(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("nothing is downloaded for this platform")
	}
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	f, err := z.Create("pkg/" + pluginName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Repeat([]byte("plugin"), 100_000)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, serve := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(wheel.Len()))
			if _, err := w.Write(wheel.Bytes()[:wheel.Len()/2]); err != nil {
				return
			}
			panic(http.ErrAbortHandler)
		},
		"another wheel": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(wheel.Bytes()) },
		"gone":          func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "gone", http.StatusGone) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := home(t)
			var asked atomic.Int64
			mux := http.NewServeMux()
			mux.HandleFunc("/pypi/lammps-jax-pjrt-cpu/json", func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"releases":{"0.11.2":[{"filename":"lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl","url":"../../files/x.whl"}]}}`)
			})
			mux.HandleFunc("/files/x.whl", func(w http.ResponseWriter, r *http.Request) { asked.Add(1); serve(w, r) })
			server := httptest.NewServer(mux)
			defer server.Close()
			_, err := engine.Install(context.Background(), engine.InstallOptions{Index: server.URL})
			if err == nil || !strings.Contains(err.Error(), "--from FILE") {
				t.Errorf("got %v", err)
			}
			// What breaks off is tried again, what is not there or another size is not. The HTTP client itself may ask again when a
			// connection breaks.
			if least := int64(map[string]int{"cut": 3}[name]); asked.Load() < max(least, 1) {
				t.Errorf("the wheel was asked for %d times, want at least %d", asked.Load(), least)
			}
			left, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range left {
				if e.Name() != "lock" {
					t.Errorf("%s was left", e.Name())
				}
			}
		})
	}
}

func mustGo(t *testing.T) engine.Info {
	t.Helper()
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.Describe()
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// sharedLibrary is the smallest ELF file that looks like a shared library of a machine: a header and one segment.
func sharedLibrary(machine elf.Machine) []byte {
	var b bytes.Buffer
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_DYN), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64,
	}
	segment := elf.Prog64{Type: uint32(elf.PT_LOAD), Off: 0, Filesz: 1024, Memsz: 1024}
	for _, part := range []any{header, segment} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return append(b.Bytes(), make([]byte, 1024-b.Len())...)
}
