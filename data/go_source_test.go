package data_test

import (
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
)

func TestGoSource(t *testing.T) {
	s := data.GoSource{Packages: []string{"sort"}, Context: 50, Stride: 20}
	parts := map[string]data.Tokens{}
	for _, part := range []string{"train", "test", "all"} {
		set, err := s.Open(part)
		if err != nil {
			t.Fatal(err)
		}
		text := set.(data.Tokens)
		parts[part] = text
		if want := (len(text.Stream())-50)/20 + 1; set.Len() != want || set.Info().Examples != want || len(text.Starts()) != want {
			t.Errorf("%s: %d examples of %d bytes; want %d", part, set.Len(), len(text.Stream()), want)
		}
		row := make([]float32, 50)
		if err := set.Read(3, row); err != nil {
			t.Fatal(err)
		}
		for k, v := range row {
			if int32(v) != text.Stream()[60+k] {
				t.Fatalf("%s: token %d of example 3 is %v, want %d", part, k, v, text.Stream()[60+k])
			}
		}
	}
	if a, b := len(parts["train"].Stream()), len(parts["test"].Stream()); a+b != len(parts["all"].Stream()) || a < 8*b {
		t.Errorf("%d bytes to train on, %d to test on, of %d", a, b, len(parts["all"].Stream()))
	}

	// The text begins with nine tenths of the first file.
	first, err := os.ReadFile(filepath.Join(build.Default.GOROOT, "src", "sort", "gen_sort_variants.go"))
	if err != nil {
		t.Fatal(err)
	}
	first = first[:len(first)*9/10]
	var got strings.Builder
	for _, token := range parts["train"].Stream()[:len(first)] {
		got.WriteByte(byte(token))
	}
	if got.String() != string(first) {
		t.Error("the text does not begin with the first file")
	}

	wider := s
	wider.Context = 51
	other, err := wider.Open("train")
	if err != nil {
		t.Fatal(err)
	}
	if sum := parts["train"].Info().Checksum; sum == "" || sum == other.Info().Checksum || sum == parts["test"].Info().Checksum {
		t.Error("checksums do not tell texts apart")
	}
}

func TestGoSourceRefuses(t *testing.T) {
	for want, change := range map[string]func(s *data.GoSource){
		"there is no source of package nosuch in":                             func(s *data.GoSource) { s.Packages = []string{"nosuch"} },
		`package "../../secret" is none of Go's standard library`:             func(s *data.GoSource) { s.Packages = []string{"../../secret"} },
		"there is no file of Go in":                                           func(s *data.GoSource) { s.Packages = []string{"internal"} },
		"packages is empty; name packages of Go's standard library":           func(s *data.GoSource) { s.Packages = nil },
		"context is 0, stride is 32; use at least 1":                          func(s *data.GoSource) { s.Context = 0 },
		"context is 32, stride is 0; use at least 1":                          func(s *data.GoSource) { s.Stride = 0 },
		"bytes, context is 100000000; use more packages or a smaller context": func(s *data.GoSource) { s.Context = 100_000_000 },
	} {
		s := data.NewGoSource()
		change(&s)
		if _, err := s.Open("train"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := data.NewGoSource().Open("half"); err == nil || !strings.Contains(err.Error(), `no part "half"`) {
		t.Errorf("got %v", err)
	}
}

func ExampleGoSource() {
	set, err := data.NewGoSource().Open("train")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Info().Name, set.Info().Shape, len(set.Info().Classes))
	// Output: go-source strings, sort [32] 256
}
