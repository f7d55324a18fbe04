//go:build cgo && !noxla && ((linux && (amd64 || arm64)) || (darwin && arm64) || (windows && amd64))

package engine

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/gomlx/go-xla/compute/xla"
	"k8s.io/klog/v2"
)

const (
	xlaBuilt   = true
	xlaMissing = ""
)

// quiet keeps the libraries below from talking to the user's terminal and from downloading a plugin of their own. The
// C++ side is silenced by TF_CPP_MIN_LOG_LEVEL, which go-xla sets.
var quiet = sync.OnceFunc(func() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	xla.EnableAutoInstall(false)
})

// loadPlugin loads a plugin that was checked.
func loadPlugin(path string) (*Engine, error) {
	quiet()
	if err := tryPlugin(path); err != nil {
		return nil, err
	}
	if kindOf(path) == KindCPU {
		steadyAllocator()
		if err := setFlags(path); err != nil {
			return nil, fmt.Errorf("plugin %s: %w", path, err)
		}
	}
	if set, root, ok := setOf(path); ok {
		if err := set.pointAtCUDA(root); err != nil {
			return nil, fmt.Errorf("plugin %s: %w", path, err)
		}
		for _, library := range set.preload {
			preload(filepath.Join(root, filepath.FromSlash(library)))
		}
	}
	as, remove, err := alias(path, kindOf(path))
	if err != nil {
		return nil, err
	}
	defer remove()
	if kindOf(path) == KindCPU && os.Getenv(EnvCache) == "on" {
		if c, err := newProgramCache(path); err == nil { // without one every graph is compiled, which is slower and no worse
			cachePrograms(as, c)
		}
	}
	b, err := xla.New(as)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", path, err)
	}
	if b.NumDevices() == 0 {
		b.Finalize()
		return nil, fmt.Errorf("plugin %s: it reports no device", path)
	}
	return &Engine{Backend: b, Plugin: path}, nil
}
