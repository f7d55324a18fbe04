//go:build linux

package checkpoint_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// TestLarge merges two checkpoints of 2 GB in 256 MB, each method in a process of its own, whose largest resident memory must stay below 320 MB:
//
//	BALLAST_TEST_LARGE=/somewhere/with/10GB go test ./merge -run Large -v -timeout 30m
//
// The checkpoints stay there for the next time.
func TestLarge(t *testing.T) {
	dir := os.Getenv("BALLAST_TEST_LARGE")
	if dir == "" {
		t.Skip("BALLAST_TEST_LARGE names no folder for 10 GB")
	}
	shape := llama{layers: 20, hidden: 2048, inner: 5632, vocabulary: 32000, dtype: safetensors.BF16, shard: 500_000_000}
	base, tuned := filepath.Join(dir, "base"), filepath.Join(dir, "tuned")
	recipe := func(method string) checkpoint.Recipe {
		return checkpoint.Recipe{
			Method: method, BaseModel: checkpoint.Ref(base), Models: []checkpoint.Source{{Model: checkpoint.Ref(base)}, {Model: checkpoint.Ref(tuned)}},
			Parameters: checkpoint.Parameters{"weight": checkpoint.Number(0.5), "density": checkpoint.Number(0.5), "t": checkpoint.Number(0.4)},
		}
	}
	if method := os.Getenv("BALLAST_TEST_LARGE_METHOD"); method != "" {
		p, err := checkpoint.NewPlan(recipe(method), checkpoint.Options{Out: filepath.Join(dir, method), Memory: 256 << 20, Seed: 1, Overwrite: true})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Execute(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile("/proc/self/status") // getrusage counts the memory of the parent before exec
		if err != nil {
			t.Fatal(err)
		}
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		kilobytes := 0
		if _, err := fmt.Sscan(peak, &kilobytes); err != nil {
			t.Fatal(err)
		}
		if kilobytes > 320<<10 {
			t.Errorf("%d kB of memory were resident, more than 320 MB", kilobytes)
		}
		fmt.Printf("at most %d MB resident\n", kilobytes>>10)
		return
	}
	for seed, path := range []string{base, tuned} {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.Rename(shape.write(t, path+".tmp", uint64(seed)), path); err != nil {
			t.Fatal(err)
		}
	}
	for _, method := range []string{"linear", "slerp", "ties", "dare_ties"} {
		began := time.Now()
		cmd := exec.Command(os.Args[0], "-test.run", "^TestLarge$")
		cmd.Env = append(os.Environ(), "BALLAST_TEST_LARGE_METHOD="+method)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", method, err, out)
			continue
		}
		line, _, _ := strings.Cut(string(out), "\n")
		t.Logf("%s: %.1f s, %s", method, time.Since(began).Seconds(), line)
		if err := os.RemoveAll(filepath.Join(dir, method)); err != nil {
			t.Error(err)
		}
	}
}
