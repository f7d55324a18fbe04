package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/safetensors"
)

// writer is a verb that writes, run in a folder that holds writerFiles.
type writer struct {
	name string
	args []string // it writes into out/, which is new
	more []string // arguments to go on with after it was cut short, in place of args; nil means args

	// varies matches files, relative to out, that differ from run to run: times, numbers of processes. Of others the bytes must agree.
	varies string
	// resumes says that a second call on a finished output is no error.
	resumes bool
}

// writers are the writing verbs. Those that download have tests of their own beside their servers.
var writers = []writer{
	{name: "calibrate", args: words("calibrate base/model --data optdigits --out out/m"), varies: `ballast\.json|README\.md`},
	{name: "adapt", args: words("adapt base/model --data optdigits --method tent --batch 32 --save-every 1 --out out/a"),
		more:   words("adapt base/model --data optdigits --method tent --batch 32 --save-every 1 --out out/a --resume"),
		varies: `ballast\.json|README\.md`, resumes: true},
	{name: "calibrate-graph", args: words("calibrate apart.onnx --data optdigits --out out/m.onnx")},
	{name: "adapt-graph", args: words("adapt resnet-norms.onnx --data npy:few.npy,few_labels.npy --method batch --export out/m.onnx")},
	{name: "convert-graph", args: words("convert apart-norms.onnx --fold-norms --out out/m.onnx")},
	{name: "calibrate-saved", args: words("calibrate --logits logits.npy --labels labels.npy --out out/scaled.npy")},
	{name: "convert-file", args: words("convert a.safetensors --to gguf --out out/a.gguf")},
	{name: "convert-npz", args: words("convert a.safetensors --to npz --compress --out out/a.npz")},
	{name: "convert-folder", args: words("convert a.safetensors --to sharded --max-shard 2000000 --out out/a")},
	{name: "convert-fold-norms", args: words("convert base/model --fold-norms --out out/m"), varies: `ballast\.json|README\.md`},
	{name: "merge-folder", args: words("merge a.safetensors b.safetensors --method ties --base c.safetensors --out out/m")},
	{name: "merge-file", args: words("merge a.safetensors b.safetensors --method linear --out out/m.safetensors")},
	{name: "merge-gguf", args: words("merge a.safetensors b.safetensors --method linear --out out/m.gguf")},
	{name: "soup-files", args: words("soup a.safetensors b.safetensors c.safetensors --method uniform --out out/m")},
	{name: "soup-bundles", args: words("soup base/model other/model --method uniform --out out/m"), varies: `ballast\.json|README\.md`},
	{name: "signature-extract", args: words("signature extract --pre a.safetensors --clean b.safetensors --robust c.safetensors --layers all --out out/s.sig")},
	{name: "signature-apply", args: words("signature apply a.safetensors noise.sig --out out/m")},
	{name: "signature-remove", args: words("signature remove patched noise.sig --out out/m")},
	{name: "run", args: words("run base/model --input digits.npy --output out/y.npz")},
	{name: "evaluate", args: words("evaluate base/model --data optdigits --suite clean --html out/r.html")},
	{name: "data-show", args: words("data show optdigits --count 500 --png out/sheet.png")},
	{name: "train", args: append(words("train steps=40 checkpoint.every_steps=5 --out out/r"), network), more: append(words("train steps=40 checkpoint.every_steps=5 --out out/r --resume"), network),
		varies: `ballast\.json|README\.md|meta\.json|metrics\.jsonl|events.*|run\.lock|lock|state\.json|SHA256SUMS|overrides\.txt`, resumes: true},
	{name: "compare", args: append(words("compare --on optdigits steps=5 norm=batch,ghost batch_size=32 seed=1 --out out/c"), network),
		varies: `ballast\.json|README\.md|meta\.json|metrics\.jsonl|events.*|run\.lock|lock|state\.json|SHA256SUMS|comparison\.json|report\.md`, resumes: true},
	{name: "inpaint", args: words("inpaint --data dir:photos?size=32x32 --out out/i side=32 steps=4 evaluate_every=2 patches=4 held=2 batch=2 generator.base=2 generator.blocks=1 discriminator.base=2 discriminator.halves=1"),
		varies: `ballast\.json|README\.md|lock`, resumes: true},
}

const network = "network={name: mlp, hidden: [4]}"

func words(text string) []string { return strings.Fields(text) }

// writerFiles makes the inputs of the writers, once.
var writerFiles = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ballast-writers-")
	if err != nil {
		return "", err
	}
	removeAtEnd = append(removeAtEnd, dir)
	const rows, columns = 500, 1500
	for i, name := range []string{"a", "b", "c"} {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		values := make([]float32, rows*columns)
		for j := range values {
			values[j] = r.Float32()
		}
		if err := safetensors.WriteFile(filepath.Join(dir, name+".safetensors"), []safetensors.Tensor{
			safetensors.FromFloat32s("first", []int{rows, columns}, values), safetensors.FromFloat32s("second", []int{columns}, values[:columns]),
		}, nil); err != nil {
			return "", err
		}
	}
	logits, labels := make([]float32, 40_000), make([]int64, 4_000)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range labels {
		labels[i] = r.Int64N(10)
		for j := range 10 {
			logits[10*i+j] = 4 * r.Float32()
		}
		logits[10*i+int(labels[i])]++
	}
	digits := make([]float32, 200*64)
	err = errors.Join(
		npy.WriteFile(filepath.Join(dir, "logits.npy"), []int{len(labels), 10}, logits),
		npy.WriteFile(filepath.Join(dir, "labels.npy"), []int{len(labels)}, labels),
		npy.WriteFile(filepath.Join(dir, "digits.npy"), []int{200, 8, 8, 1}, digits),
		photos(filepath.Join(dir, "photos")), exportedFiles(dir),
	)
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		append(words("train steps=20 --out base"), network), append(words("train steps=20 seed=2 --out other"), network),
		words("signature extract --pre a.safetensors --clean b.safetensors --robust c.safetensors --layers all --out noise.sig"),
		words("signature apply a.safetensors noise.sig --out patched"),
	} {
		if text, err := child(dir, args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%v: %w: %s", args, err, text)
		}
	}
	return dir, nil
})

// child is the command as a process of its own in dir, on the Go engine.
func child(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...) //nolint:gosec // the test itself
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asCommand+"=1", "BALLAST_ENGINE=go")
	return cmd
}

// outputPlace makes a folder with the inputs of the writers and a new out/.
func outputPlace(t *testing.T) string {
	t.Helper()
	from, err := writerFiles()
	if err != nil {
		t.Fatal(err)
	}
	dir := linked(t, from)
	if err := os.Mkdir(filepath.Join(dir, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// contents is every file below dir with a checksum, or "" where it varies.
func contents(t *testing.T, dir, varies string) map[string]string {
	t.Helper()
	pattern := regexp.MustCompile(`(^|/)(` + varies + `)$`)
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if strings.Contains(rel, "events.out.tfevents") { // one file each time a run is taken up
			rel = filepath.ToSlash(filepath.Join(filepath.Dir(rel), "events"))
		}
		text, err := os.ReadFile(path)
		out[rel] = fmt.Sprintf("%x", sha256.Sum256(text))
		if varies != "" && pattern.MatchString(rel) {
			out[rel] = ""
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// reference runs a writer undisturbed and returns what it writes and how long it takes.
func (w writer) reference(t *testing.T) (want map[string]string, took time.Duration) {
	t.Helper()
	dir := outputPlace(t)
	began := time.Now()
	if text, err := child(dir, w.args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", w.args, err, text)
	}
	took = time.Since(began)
	return contents(t, filepath.Join(dir, "out"), w.varies), took
}

func (w writer) again() []string {
	if w.more != nil {
		return w.more
	}
	return w.args
}

// same compares an output with the reference; names of leftovers are no part of it.
func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, sum := range want {
		if have, ok := got[name]; !ok || have != sum {
			t.Errorf("%s is missing or differs", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is left", name)
		}
	}
}

// rounds is how often each writer is tried: few in every check, all of them with BALLAST_WRITERS=all ("make writers").
func rounds(few, all int) int {
	if os.Getenv("BALLAST_WRITERS") == "all" {
		return all
	}
	return few
}

// TestTwoAtOnce runs every writer twice at once on one output: one does it, and the other says so, or finds it done.
func TestTwoAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("make writers runs it")
	}
	for _, w := range writers {
		t.Run(w.name, func(t *testing.T) {
			want, took := w.reference(t)
			met := 0
			for round := range rounds(1, 20) {
				dir := outputPlace(t)
				var outputs [2]bytes.Buffer
				var both [2]*exec.Cmd
				for i := range both {
					both[i] = child(dir, w.args...)
					both[i].Stdout, both[i].Stderr = &outputs[i], &outputs[i]
					if err := both[i].Start(); err != nil {
						t.Fatal(err)
					}
					if round%2 == 1 { // not always in step
						time.Sleep(rand.N(took/4 + 1))
					}
				}
				var codes []int
				for i := range both {
					_ = both[i].Wait() // the code says it
					codes = append(codes, both[i].ProcessState.ExitCode())
				}
				busy := strings.Contains(outputs[0].String()+outputs[1].String(), "is being written by process")
				if busy {
					met++
				}
				slices.Sort(codes)
				right := codes[0] == exitOK && (codes[1] == exitFailed && busy || codes[1] == exitUsage || codes[1] == exitOK && w.resumes)
				if !right {
					t.Fatalf("round %d: exit codes %v\n%s\n%s", round, codes, &outputs[0], &outputs[1])
				}
				same(t, contents(t, filepath.Join(dir, "out"), w.varies), want)
				if t.Failed() {
					t.Fatalf("round %d:\n%s\n%s", round, &outputs[0], &outputs[1])
				}
			}
			t.Logf("the other was met in %d rounds", met)
		})
	}
}

// TestKilledWriters kills every writer at random moments, each time of a new output, and runs it again until it is done: the output is
// that of a run that was left alone, and nothing else is left.
func TestKilledWriters(t *testing.T) {
	if testing.Short() {
		t.Skip("make writers runs it")
	}
	for _, w := range writers {
		t.Run(w.name, func(t *testing.T) {
			want, took := w.reference(t)
			inTime := 0
			for round := range rounds(2, 50) {
				dir := outputPlace(t)
				cmd := child(dir, w.args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(rand.N(took + took/20))
				_ = cmd.Process.Kill() // it may have ended
				_ = cmd.Wait()
				if cmd.ProcessState.ExitCode() < 0 {
					inTime++
				}
				left := whatIsIn(filepath.Join(dir, "out"))
				text, err := child(dir, w.again()...).CombinedOutput()
				var exit *exec.ExitError
				whole := errors.As(err, &exit) && exit.ExitCode() == exitUsage && strings.Contains(string(text), "there already")
				if err != nil && !whole {
					t.Fatalf("round %d: again: %v\n%s\nthe killed one left %s", round, err, text, left)
				}
				same(t, contents(t, filepath.Join(dir, "out"), w.varies), want)
				if t.Failed() {
					t.Fatalf("round %d:\n%s", round, text)
				}
			}
			t.Logf("%d kills came before the end", inTime)
		})
	}
}

// whatIsIn lists the files of a folder, with the first bytes of small files.
func whatIsIn(dir string) string {
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, _ := os.ReadFile(path)
		fmt.Fprintf(&b, "\n\t%s (%d bytes) %.40q", strings.TrimPrefix(path, dir), len(text), text)
		return nil
	})
	return b.String()
}
