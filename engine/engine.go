package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
)

// The kinds of engine.
const (
	KindCUDA = "xla:cuda"
	KindCPU  = "xla:cpu"
	KindGo   = "go"
)

// EnvChoice is the environment variable that chooses an engine when no flag does.
const EnvChoice = "BALLAST_ENGINE"

// EnvPatience is the environment variable that says how long a plugin may take to load the first time, such as "2m".
const EnvPatience = "BALLAST_PLUGIN_WAIT"

// goConfig names the sequential Go engine: with its default executor a graph with four or more independent products of
// large matrices hangs, and a panic inside an operation cannot be caught.
const goConfig = gobackend.BackendName + ":ops_sequential"

// Engine is an open engine. It is a GoMLX backend with the reason for which it was chosen.
type Engine struct {
	compute.Backend
	Kind   string // xla:cuda, xla:cpu or go
	Plugin string // absolute path of the plugin, "" for go
	Why    string // one line: why this one
	Hint   string // what to do for a faster one, "" if there is nothing

	passed error // what was wrong with the faster ones that were tried first
}

// Info describes an engine for people and for JSON.
type Info struct {
	Kind        string `json:"kind"`
	Plugin      string `json:"plugin,omitempty"`
	Version     string `json:"version,omitempty"` // of the plugin, as its package names it
	Description string `json:"description"`
	Devices     int    `json:"devices"`
	Why         string `json:"why"`
	Hint        string `json:"hint,omitempty"`
	BuiltWith   string `json:"built_with"` // "cgo and XLA" or why XLA is not in this build
}

// Open opens the engine that choice names: "go", "xla", "xla:cpu", "xla:cuda" or "xla:/path/to/plugin.so". An empty choice
// is what BALLAST_ENGINE says, and if that is empty too the fastest engine found: XLA CUDA, XLA CPU, Go. What was asked
// for by name and cannot be opened is an error; the automatic choice falls back and says so in Why and Hint.
func Open(choice string) (*Engine, error) {
	asked := "--engine"
	if choice == "" {
		choice, asked = os.Getenv(EnvChoice), EnvChoice
	}
	switch {
	case choice == "":
		return openFastest()
	case choice == KindGo:
		return openGo("asked for by "+asked, "")
	case choice == "xla":
		e, problems := openXLA(KindCUDA, KindCPU)
		return named(e, problems, choice, asked)
	case choice == KindCPU, choice == KindCUDA:
		e, problems := openXLA(choice)
		return named(e, problems, choice, asked)
	case strings.HasPrefix(choice, "xla:/"):
		e, err := openPlugin(strings.TrimPrefix(choice, "xla:"))
		return named(e, err, choice, asked)
	}
	return nil, noEngine(choice, asked)
}

// Names are the names of engines as Open takes them, but for plugins by their paths.
func Names() []string { return []string{KindGo, "xla", KindCPU, KindCUDA} }

// Check reports what is wrong with the name of an engine, as Open does, without opening one. An empty name is valid.
func Check(choice string) error {
	if choice == "" || slices.Contains(Names(), choice) || strings.HasPrefix(choice, "xla:/") {
		return nil
	}
	return noEngine(choice, "--engine")
}

// noEngine is the error of a name that no engine has.
func noEngine(choice, asked string) error {
	known := append(Names(), "xla:/path/to/plugin.so")
	text := fmt.Sprintf("engine: no engine %q (from %s); use %s", choice, asked, strings.Join(known, ", "))
	if near, ok := strict.Nearest(choice, known); ok {
		text = fmt.Sprintf("engine: no engine %q (from %s); did you mean %q?", choice, asked, near)
	}
	return &fault.Usage{Err: errors.New(text)}
}

func named(e *Engine, err error, choice, asked string) (*Engine, error) {
	if err != nil {
		return nil, fmt.Errorf("engine: %s, asked for by %s, cannot be opened: %w", choice, asked, err)
	}
	e.Why, e.Hint = "asked for by "+asked, e.faster()
	return e, nil
}

// faster says what to do about an engine that was passed over.
func (e *Engine) faster() string {
	var missing *notInstalled
	switch {
	case e.passed == nil:
		return ""
	case errors.As(e.passed, &missing):
		return `an NVIDIA GPU is here; "ballast engine install --cuda" installs what uses it`
	}
	return "the GPU is not used: " + oneLine(e.passed)
}

// openFastest tries XLA and falls back to Go, whatever goes wrong.
func openFastest() (*Engine, error) {
	e, err := openXLA(KindCUDA, KindCPU)
	if err == nil {
		e.Why, e.Hint = "the fastest engine found", e.faster()
		return e, nil
	}
	hint := `for one that is 10 to 100 times faster run "ballast engine install"`
	var missing *notInstalled
	if !errors.As(err, &missing) {
		hint = "fix that for an engine that is 10 to 100 times faster"
	}
	if !xlaBuilt {
		hint = "build with cgo and without the tag noxla for one that is 10 to 100 times faster"
	}
	return openGo(oneLine(err), hint)
}

// openXLA opens the first of the kinds that can be opened, or says what is wrong with each.
func openXLA(kinds ...string) (*Engine, error) {
	if !xlaBuilt {
		return nil, errors.New(xlaMissing)
	}
	var problems []error
	for _, kind := range kinds {
		if kind == KindCUDA && !hasNVIDIA() {
			if len(kinds) == 1 {
				return nil, errors.New("no NVIDIA GPU found")
			}
			continue
		}
		path, err := findPlugin(kind)
		if err == nil {
			var e *Engine
			if e, err = loadPlugin(path); err == nil {
				e.Kind, e.passed = kind, errors.Join(problems...)
				return e, nil
			}
		}
		problems = append(problems, err)
	}
	return nil, errors.Join(problems...)
}

// openPlugin opens a plugin by its path.
func openPlugin(path string) (*Engine, error) {
	if !xlaBuilt {
		return nil, errors.New(xlaMissing)
	}
	if err := checkPlugin(path); err != nil {
		return nil, err
	}
	e, err := loadPlugin(path)
	if err != nil {
		return nil, err
	}
	e.Kind = kindOf(path)
	return e, nil
}

func openGo(why, hint string) (*Engine, error) {
	b, err := compute.NewWithConfig(goConfig)
	if err != nil {
		return nil, fmt.Errorf("engine: the Go engine cannot be opened: %w", err)
	}
	return &Engine{Backend: b, Kind: KindGo, Why: why, Hint: hint}, nil
}

// Calls is how many calls of graphs at once keep all cores busy: XLA spreads one call over them, the Go engine runs most of
// a call on one.
func (e *Engine) Calls() int {
	if e.Kind == KindGo {
		return runtime.GOMAXPROCS(0)
	}
	return 1
}

// Close releases the engine and everything on its devices.
func (e *Engine) Close() { e.Finalize() }

// Describe describes the engine.
func (e *Engine) Describe() Info {
	info := Info{
		Kind: e.Kind, Plugin: e.Plugin, Description: e.Description(), Devices: int(e.NumDevices()),
		Why: e.Why, Hint: e.Hint, BuiltWith: "cgo and XLA",
	}
	if !xlaBuilt {
		info.BuiltWith = xlaMissing
	}
	if m, err := readMarker(e.Plugin); err == nil {
		info.Version = m.Version
	}
	return info
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
