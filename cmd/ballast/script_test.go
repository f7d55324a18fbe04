package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ballast-ml/ballast/format/npy"
)

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		limitAddressSpace()
		code := 0
		if read, ok := readersAlone[os.Args[1]]; ok {
			code = readAlone(read, os.Args[2])
		} else {
			code = run(os.Args[1:], os.Stdout, os.Stderr)
		}
		notePeak()
		os.Exit(code)
	}
	testscript.Main(tidied{m}, map[string]func(){
		"ballast": func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) },
		"serve":   serveDigits,
	})
}

// removeAtEnd are folders that several tests share; they go when all tests are over.
var removeAtEnd []string

// tidied is a run of all tests that removes them.
type tidied struct{ tests *testing.M }

// Run runs all tests.
func (c tidied) Run() int {
	code := c.tests.Run()
	for _, dir := range removeAtEnd {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	return code
}

// TestScripts runs the real command: each file of testdata/script is commands, files, and what must come out. They run on the
// Go engine, which is everywhere.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("BALLAST_ENGINE", "go")
			e.Setenv("BALLAST_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("HOME", e.WorkDir)
			return errors.Join(badFiles(e.WorkDir), savedArchive(e.WorkDir), modelFiles(e.WorkDir), imageFiles(e.WorkDir), mergeFiles(e.WorkDir), graphFiles(e.WorkDir), subjectFiles(e.WorkDir), ownData(e.WorkDir), exportedFiles(e.WorkDir))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
		},
	})
}

// badFiles writes the binary files that scripts cannot hold: logits, labels outside them, and two tensors over the same bytes.
func badFiles(dir string) error {
	header := `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`
	overlap := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+"abcdef"...)
	return errors.Join(
		npy.WriteFile(filepath.Join(dir, "logits.npy"), []int{2, 2}, []float32{1, 2, 3, 4}),
		npy.WriteFile(filepath.Join(dir, "labels.npy"), []int{2}, []int64{0, 7}),
		os.WriteFile(filepath.Join(dir, "overlap.safetensors"), overlap, 0o644),
	)
}

// savedArchive writes both.npz: ids of a graph, logits that are too sure of themselves, and labels.
func savedArchive(dir string) error {
	const n, classes = 60, 3
	logits, labels := make([]float32, 0, n*classes), make([]int64, n)
	for i := range n {
		labels[i] = int64(i % classes)
		for c := range classes {
			z := 6 * math.Sin(float64(5*i+2*c))
			if c == i%classes {
				z += 3
			}
			logits = append(logits, float32(z))
		}
	}
	raw := func(v any) func() (io.Reader, error) {
		return func() (io.Reader, error) {
			b, err := binary.Append(nil, binary.LittleEndian, v)
			return bytes.NewReader(b), err
		}
	}
	return npy.WriteArchiveFile(filepath.Join(dir, "both.npz"), []npy.Member{
		{Name: "ids", DType: npy.Int64, Shape: []int{1, 3}, Open: raw([]int64{7, 8, 9})},
		{Name: "logits", DType: npy.Float32, Shape: []int{n, classes}, Open: raw(logits)},
		{Name: "labels", DType: npy.Int64, Shape: []int{n}, Open: raw(labels)},
	}, false)
}

// imageFiles writes 24 grey pictures of 16 x 16 with slopes of different brightness.
func imageFiles(dir string) error {
	const n, side = 24, 16
	pixels, labels := make([]float32, 0, n*side*side), make([]int64, n)
	for i := range n {
		labels[i] = int64(i % 2)
		for p := range side * side {
			pixels = append(pixels, float32(i)/n/2+float32(p/side)/side/2)
		}
	}
	return errors.Join(
		npy.WriteFile(filepath.Join(dir, "slopes.npy"), []int{n, side, side, 1}, pixels),
		npy.WriteFile(filepath.Join(dir, "slope_labels.npy"), []int{n}, labels),
	)
}

// exits runs a command and demands its exit code: exits 4 ballast evaluate ...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		code = strconv.Itoa(exit.ExitCode())
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}
