// Package enginetest runs a test on every engine of this machine.
package enginetest

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ballast-ml/ballast/engine"
)

// EnvPlugin names an XLA plugin for tests to use in place of the installed one.
const EnvPlugin = "BALLAST_TEST_PLUGIN"

// EnvEngines is a list such as "go,xla" that restricts the tests to these engines and makes a missing one fail.
const EnvEngines = "BALLAST_TEST_ENGINES"

var openGo = sync.OnceValues(func() (*engine.Engine, error) { return engine.Open(engine.KindGo) })

var openXLA = sync.OnceValues(func() (*engine.Engine, error) {
	if plugin := os.Getenv(EnvPlugin); plugin != "" {
		return engine.Open("xla:" + plugin)
	}
	return engine.Open(engine.KindCPU)
})

// Each runs f as the subtests "go" and "xla". Where the XLA plugin is not installed the second one is left out, and the log
// says so. An engine is opened once per process.
func Each(t *testing.T, f func(t *testing.T, e *engine.Engine)) { each(t, true, f) }

// Go runs f as the subtest "go" alone, for what a graph says and no engine decides: XLA takes a second to compile what the Go engine runs
// at once.
func Go(t *testing.T, f func(t *testing.T, e *engine.Engine)) { each(t, false, f) }

func each(t *testing.T, compiled bool, f func(t *testing.T, e *engine.Engine)) {
	t.Helper()
	demanded := strings.FieldsFunc(os.Getenv(EnvEngines), func(r rune) bool { return r == ',' })
	for _, candidate := range []struct {
		name string
		open func() (*engine.Engine, error)
	}{{"go", openGo}, {"xla", openXLA}} {
		if candidate.name == "xla" && !compiled {
			continue
		}
		if len(demanded) > 0 && !slices.Contains(demanded, candidate.name) {
			continue
		}
		e, err := candidate.open()
		if err != nil {
			if len(demanded) > 0 || candidate.name == "go" {
				t.Errorf("%s: %v", candidate.name, err)
			} else {
				t.Logf("without %s: %v", candidate.name, err)
			}
			continue
		}
		t.Run(candidate.name, func(t *testing.T) { f(t, e) })
	}
}
