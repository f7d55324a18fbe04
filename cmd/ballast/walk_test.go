package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/safetensors"
)

// wholeWalk says whether the walks over all verbs go through every case, or each run of the tests through a share of them.
func wholeWalk() bool { return os.Getenv("BALLAST_TEST_WALK") == "all" }

// sampled is every nth of the cases, all of them in a whole walk.
func sampled[T any](all []T, nth int) []T {
	if wholeWalk() {
		return all
	}
	var some []T
	for i := 0; i < len(all); i += nth {
		some = append(some, all[i])
	}
	return some
}

// walkFiles makes what the walks work on, once: models, arrays, pictures, recipes, and outputs of several verbs.
var walkFiles = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ballast-walk-")
	if err != nil {
		return "", err
	}
	removeAtEnd = append(removeAtEnd, dir)
	text := func(name, content string) error {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(content), 0o644)
	}
	const recipe = "name: small\ndata: optdigits\nnetwork: {name: mlp, hidden: [4]}\nsteps: 20\n"
	if err := errors.Join(
		badFiles(dir), modelFiles(dir), imageFiles(dir), mergeFiles(dir), graphFiles(dir), subjectFiles(dir), ownData(dir), exportedFiles(dir), moreArrays(dir), walkArrays(dir), photos(filepath.Join(dir, "photos")),
		text("recipe.yaml", recipe), text("bad.yaml", "network: {name: mlp\n"), text("empty", ""), text("other.yaml", strings.Replace(recipe, "steps: 20", "steps: 10", 1)),
		text("cnn.yaml", "name: cnn\ndata: optdigits\nnetwork: {name: cnn, filters: [4], dense: 4}\nnorm: batch\nsteps: 5\n"),
		text("merge.yaml", "merge_method: linear\nmodels: [{model: a.safetensors, parameters: {weight: 1}}, {model: b.safetensors, parameters: {weight: 1}}]\n"),
		text("dare.yaml", "merge_method: dare_linear\nbase_model: run/model\nmodels: [{model: run2/model, parameters: {weight: 1, density: 0.5}}]\n"),
		text("bench.json", `{"schema_version": 1, "machine": {"cpu": "x", "cores": 2, "memory_bytes": 1, "system": "linux"}, "lines": []}`),
		text("foreign/notes.txt", "important"), text("foreign-quick/notes.txt", "important"), text("foreign.txt", "important"),
		text("foreign/grokking/notes.txt", "important"), text("left/.x.npy.ballast-tmp", "cut"), walkPictures(dir),
		safetensors.WriteFile(filepath.Join(dir, "huge.safetensors"), []safetensors.Tensor{safetensors.FromFloat32s("w", []int{2, 2}, []float32{1e30, 2, 3, 4})}, nil),
		text("begun-quick/.ballast.json", `{"written_by": "ballast", "work": "demo"}`), text("begun-quick/notes.txt", "important"),
	); err != nil {
		return "", err
	}
	for _, args := range []string{
		"train recipe.yaml --out run -q", "train recipe.yaml --seed 2 --out run2 -q", "train recipe.yaml --seed 3 steps=30 --out run3 -q", "train cnn.yaml --out cnn -q",
		"merge merge.yaml --out merged -q", "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out noise.sig -q",
		"signature apply run2/model noise.sig --out patched -q", "train cnn.yaml --seed 2 --out cnn2 -q", "train cnn.yaml --seed 3 --out cnn3 -q",
		"signature extract --pre cnn/model --clean cnn2/model --robust cnn3/model --layers all --out cnn.sig -q",
	} {
		if out, err := child(dir, strings.Fields(args)...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", args, err, out)
		}
	}
	return dir, nil
})

// walkArrays writes saved outputs of three classes in several forms.
func walkArrays(dir string) error {
	const n, k = 60, 3
	logits, probabilities, labels, marked := make([]float32, 0, n*k), make([]float32, 0, n*k), make([]int64, n), make([]int64, n)
	for i := range n {
		labels[i], marked[i] = int64(i%k), int64(i%k)
		sum, row := 0.0, [k]float64{}
		for c := range k {
			z := 2 * math.Sin(float64(5*i+2*c))
			if c == i%k {
				z++
			}
			logits, row[c] = append(logits, float32(z)), math.Exp(z)
			sum += row[c]
		}
		for c := range k {
			probabilities = append(probabilities, float32(row[c]/sum))
		}
	}
	marked[7] = -100
	file := func(name string) string { return filepath.Join(dir, name) }
	return errors.Join(
		npy.WriteFile(file("z.npy"), []int{n, k}, logits), npy.WriteFile(file("p.npy"), []int{n, k}, probabilities), npy.WriteFile(file("y.npy"), []int{n}, labels),
		npy.WriteFile(file("marked.npy"), []int{n}, marked), npy.WriteFile(file("z2.npy"), []int{n / 2, k}, logits[:n*k/2]), npy.WriteFile(file("y2.npy"), []int{n / 2}, labels[:n/2]),
	)
}

// walkPictures makes a folder of pictures whose classes are called 11 and 12.
func walkPictures(dir string) error {
	for _, class := range []string{"11", "12"} {
		for i := range 6 {
			img := image.NewGray(image.Rect(0, 0, 8, 8))
			for p := range img.Pix {
				img.Pix[p] = uint8(40*i + 3*p)
			}
			path := filepath.Join(dir, "pics", class, fmt.Sprint(i, ".png"))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			var b bytes.Buffer
			if err := errors.Join(png.Encode(&b, img), os.WriteFile(path, b.Bytes(), 0o644)); err != nil {
				return err
			}
		}
	}
	return nil
}

// walkPlace is a new folder with links to what the walks work on.
func walkPlace(t *testing.T) string {
	t.Helper()
	from, err := walkFiles()
	if err != nil {
		t.Fatal(err)
	}
	return linked(t, from)
}

// linked is a new folder with links to what is in another.
func linked(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		source, name := filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())
		put := os.Symlink
		if strings.HasSuffix(name, "-quick") { // outputs of the demo: as a link they would be refused for that
			put = func(source, name string) error { return os.CopyFS(name, os.DirFS(source)) }
		}
		if err := put(source, name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// timeWords are what differs from run to run in the text of a command.
var timeWords = regexp.MustCompile(`\b(in|took) [0-9.]+(µs|ms|s)\b`)

// came is what came of a command: its exit code, its text, and the files in its folder but for the links.
func came(t *testing.T, dir, args string) string {
	t.Helper()
	cmd := child(dir, splitArgs(args)...)
	cmd.Env = append(cmd.Env, "BALLAST_HOME="+filepath.Join(dir, ".home"))
	out, _ := cmd.CombinedOutput() // the code says it
	return fmt.Sprintf("exit %d\n%s%s", cmd.ProcessState.ExitCode(), timeWords.ReplaceAll(out, []byte("$1 no time")), files(t, dir))
}

// splitArgs cuts a command at its blanks; 'quoted' parts stay whole.
func splitArgs(text string) []string {
	var args []string
	quoted, word, open := false, "", false
	for _, c := range text {
		switch {
		case c == '\'':
			quoted, open = !quoted, true
		case c == ' ' && !quoted:
			if open {
				args = append(args, word)
			}
			word, open = "", false
		default:
			word, open = word+string(c), true
		}
	}
	if open {
		args = append(args, word)
	}
	return args
}

// files lists the files of a folder with the size of each, and the sum of those that hold no time.
func files(t *testing.T, dir string) string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir || e.Type()&fs.ModeSymlink != 0 {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || strings.HasPrefix(rel, ".home") {
			return err
		}
		line := "FILE " + filepath.ToSlash(rel)
		if slices.Contains([]string{".npy", ".npz", ".safetensors", ".gguf", ".png", ".sig"}, filepath.Ext(rel)) {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", len(content), sha256.Sum256(content))
		}
		list = append(list, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, "\n")
}
