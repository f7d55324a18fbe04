package lab_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/train"
)

// looksLikeOther are texts that look like something else.
var looksLikeOther = []string{
	"67217e15", "1.10", "1.1", "007", "inf", "nan", "null", "~", "true", "False", "1e3", "0x10", "1_000", "+1", ".5", "-0", "2024-01-01", "12:30", "1e400",
	"99999999999999999999", "yes", "a,b", "npy:a,b", "a=b", "x.y=1,2", "C:/x,y",
}

// TestTextStaysText: every setting of a recipe that is a text takes it as it was given, on the command line and in a file.
func TestTextStaysText(t *testing.T) {
	types := lab.TypesOf(train.NewRecipe())
	base, err := lab.ConfigOf(train.NewRecipe())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, kind := range types {
		if kind != "string" {
			continue
		}
		n++
		for _, text := range looksLikeOther {
			c, err := lab.Apply(base, types, []string{path + "=" + text})
			if err != nil {
				t.Errorf("%s=%s: %v", path, text, err)
				continue
			}
			if got, err := c.Get(path); err != nil || got != text {
				t.Errorf("%s=%s gives %v, %v", path, text, got, err)
			}
		}
	}
	if n < 5 {
		t.Fatalf("the recipe has %d texts", n)
	}

	for _, text := range looksLikeOther {
		if text == "null" || text == "~" {
			continue // nothing is given: a file has it for a text that is not there
		}
		settings, err := strict.Settings([]byte("name: " + text + "\n"))
		if err != nil {
			t.Errorf("name: %s: %v", text, err)
			continue
		}
		r, err := lab.Recipe(settings)
		if err != nil || r.Name != text {
			t.Errorf("name: %s gives %q, %v", text, r.Name, err)
		}
		if r, err = lab.Recipe(nil, "name="+text); err != nil || r.Name != text {
			t.Errorf("name=%s gives %q, %v", text, r.Name, err)
		}
	}
}

// TestNumbersAlike: a number is the same in a file and on the command line, wherever one is wanted.
func TestNumbersAlike(t *testing.T) {
	for _, text := range []string{"1e-3", "0.5", ".5", "5.", "+1", "1_000.5", "0x10", "0b11", "010", "08", "1E2"} {
		settings, err := strict.Settings([]byte("checkpoint: {every_seconds: " + text + "}\noptimizer: {lr: " + text + "}\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		file, errFile := lab.Recipe(settings)
		line, errLine := lab.Recipe(nil, "checkpoint.every_seconds="+text, "optimizer.lr="+text)
		if errFile != nil || errLine != nil || fmt.Sprintf("%+v", file) != fmt.Sprintf("%+v", line) {
			t.Errorf("%s: %v, %v; %v and %v", text, errFile, errLine, file.Checkpoint, line.Checkpoint)
		}
	}
	for _, text := range []string{"1_000", "0x10", "+7", "010", "08", "0o17"} {
		settings, err := strict.Settings([]byte("epochs: " + text + "\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		file, errFile := lab.Recipe(settings)
		line, errLine := lab.Recipe(nil, "epochs="+text)
		if errFile != nil || errLine != nil || file.Epochs != line.Epochs {
			t.Errorf("%s: %d and %d, %v, %v", text, file.Epochs, line.Epochs, errFile, errLine)
		}
	}
	if r, err := lab.Recipe(nil, "seed=18446744073709551615"); err != nil || r.Seed != math.MaxUint64 {
		t.Errorf("the largest seed is %d, %v", r.Seed, err)
	}
}

// TestBlank: nothing where a value belongs is a mistake that names the setting.
func TestBlank(t *testing.T) {
	for override, want := range map[string]string{
		"optimizer.lr= ": "optimizer.lr", "optimizer.lr=\t": "optimizer.lr", "name=  ": "name", "epochs=": "epochs", "epochs=' '": "epochs", "data= ": "data",
		"=3": "empty key", " =3": "empty key", "": "empty key", "lr": "missing =", "+": "empty key", "~": "empty key", "++=": "empty key", "norm= ": "norm", "network=": "network",
		"epochs=[": "unterminated", "schedule.milestones=[ ": "unterminated", "schedule.milestones=[,]": "schedule.milestones", "network={": "unterminated", "network={:}": "network",
	} {
		_, err := lab.Recipe(nil, override)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", override, err, want)
		}
	}
}

// TestNamesOfFilesAreNoSweep: the commas of a data set's name are its own.
func TestNamesOfFilesAreNoSweep(t *testing.T) {
	for _, name := range []string{"npy:x.npy,y.npy", "npy:x.npy,y.npy?classes=3", "dir:photos, 2024", "dir:a=b", "npy:a=1/x.npy,a=1/y.npy"} {
		r, err := lab.Recipe(nil, "data="+name)
		if err != nil || r.Data.String() != name {
			t.Errorf("data=%s gives %v, %v", name, r.Data, err)
		}
	}
	for arg, want := range map[string]int{
		"data=npy:x.npy,y.npy": 1, "data=npy:x.npy,y.npy,optdigits": 2, "data=npy:a,b,npy:c,d": 2, "data=dir:a,dir:b": 2, "data=dir:a,b,mnist": 2, "data=optdigits,dir:a,b": 2,
		"data=choice(npy:a,b,mnist)": 2,
	} {
		runs, err := lab.Expand([]string{arg})
		if err != nil || len(runs) != want {
			t.Errorf("%s: %q, %v; want %d runs", arg, runs, err, want)
		}
	}
}

// TestRefusedRunLeavesNoTrace: a run that ends before it began leaves a folder as it was, and none where there was none.
func TestRefusedRunLeavesNoTrace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	o := lab.StartOptions{Dir: dir, Config: lab.Config{"lr": 0.1}, Engine: "go"}
	run, err := lab.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Finish(fmt.Errorf("refused")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("a refused run left its folder")
	}

	if run, err = lab.Start(o); err != nil {
		t.Fatal(err)
	}
	if err := run.Finish(nil); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	o.Resume, o.Config = true, lab.Config{"lr": 0.2}
	if run, err = lab.Start(o); err != nil {
		t.Fatal(err)
	}
	if err := run.Finish(fmt.Errorf("refused")); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// snapshot is every file of a folder with its content.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, path)
		if !e.IsDir() {
			content, err := os.ReadFile(path)
			fmt.Fprintf(&b, "%q\n", content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
