package engine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKindOf(t *testing.T) {
	for path, want := range map[string]string{
		"/home/cuda/pjrt_c_api_cpu_plugin.so":                   KindCPU,
		"/home/cpu/pjrt_c_api_cuda_plugin.so":                   KindCUDA,
		"/cpu/cuda13/jax_plugins/xla_cuda13/xla_cuda_plugin.so": KindCUDA,
		"/opt/cuda/plugin.so":                                   KindCUDA,
		"/opt/cpu/plugin.so":                                    KindCPU,
		"/x/y,z/pjrt_c_api_cpu_plugin.so":                       KindCPU,
	} {
		if got := kindOf(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
		as, remove, err := alias(path, want)
		if err != nil || !tells(as, want) {
			t.Errorf("%s: got %s, %v", path, as, err)
			continue
		}
		remove()
	}
}

// TestAFolderOfAnyNameCanHoldThePlugin opens and uses the plugin from folders whose names mislead go-xla.
func TestAFolderOfAnyNameCanHoldThePlugin(t *testing.T) {
	plugin := os.Getenv("BALLAST_TEST_PLUGIN")
	if plugin == "" || !xlaBuilt {
		t.Skip("needs BALLAST_TEST_PLUGIN and a build with XLA")
	}
	t.Setenv(EnvHome, t.TempDir())
	for _, name := range []string{"nvidia", "my cuda", "a,b"} {
		dir := filepath.Join(t.TempDir(), name)
		path := filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(plugin, path); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			e, err := Open("xla:" + path)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if e.Kind != KindCPU || e.Plugin != path {
				t.Errorf("%s: got %+v", name, e.Describe())
			}
			e.Close()
		}
	}
}
