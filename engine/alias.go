package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// kindOf says which kind of plugin a path names: by the name of the file, else by the rest of the path.
func kindOf(path string) string {
	if _, _, ok := setOf(path); ok {
		return KindCUDA
	}
	for _, part := range []string{filepath.Base(path), path} {
		switch cuda, cpu := strings.Contains(part, "cuda"), strings.Contains(part, "cpu"); {
		case cuda && !cpu:
			return KindCUDA
		case cpu && !cuda:
			return KindCPU
		}
	}
	return KindCPU
}

// tells reports whether go-xla takes a path for a plugin of that kind. It looks for words anywhere in the path, where a
// user's name may hold them too, and takes what follows a comma for options.
func tells(path, kind string) bool {
	upper := strings.ToUpper(path)
	cuda := strings.Contains(upper, "CUDA") || strings.Contains(upper, "NVIDIA")
	return cuda == (kind == KindCUDA) && strings.Contains(upper, "CPU") == (kind == KindCPU) && !strings.Contains(path, ",")
}

var aliases struct {
	sync.Mutex
	of map[string]string // go-xla remembers a plugin by its path
}

// alias returns a path for a plugin that go-xla understands, through a link if its own does not do. What removes the link
// must run after the plugin was loaded. A CUDA plugin finds its libraries by its own path, so its whole folder is linked.
func alias(path, kind string) (as string, remove func(), err error) {
	if tells(path, kind) {
		return path, func() {}, nil
	}
	aliases.Lock()
	defer aliases.Unlock()
	if as, ok := aliases.of[path]; ok {
		return as, func() {}, nil
	}
	target, rest, name := path, "", "cpu_plugin.so"
	if kind == KindCUDA {
		name = "cuda_plugin.so"
		if s, root, ok := setOf(path); ok {
			target, rest, name = root, filepath.FromSlash(s.plugin), "cuda"
		}
	}
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if !tells(filepath.Join(parent, name), kind) {
			continue
		}
		dir, err := os.MkdirTemp(parent, "ballast-")
		if err != nil {
			continue
		}
		remove = func() { _ = os.RemoveAll(dir) } // a link that stays does no harm
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			remove()
			continue
		}
		as = filepath.Join(dir, name, rest)
		if aliases.of == nil {
			aliases.of = map[string]string{}
		}
		aliases.of[path] = as
		return as, remove, nil
	}
	return "", nil, fmt.Errorf("plugin %s: its path holds a comma or a word that go-xla takes for another kind of plugin, and no temporary folder can hold a link to it", path)
}
