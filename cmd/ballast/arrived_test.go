package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// takers are the verbs that read files, with the place of a file that did not arrive.
var takers = []string{
	"inspect x.safetensors", "inspect x.gguf", "inspect x.onnx", "inspect x.pth", "inspect x.npz", "inspect x.npy", "inspect x.bin", "inspect folder",
	"convert x.safetensors --to gguf --out o.gguf", "convert folder --to npz --out o.npz", "convert x --fold-norms --out o", "run x.onnx --input digits.npy --output o.npz",
	"run run/model --input x.npy --output o.npz", "merge a.safetensors x.safetensors --method linear --out o", "merge x.yaml --out o",
	"merge companions a.safetensors --method linear --out o", "merge diff a.safetensors x.safetensors", "soup a.safetensors x.safetensors --method uniform --out o",
	"signature extract --pre x.safetensors --clean a.safetensors --robust a.safetensors --out o.sig", "signature apply a.safetensors x.sig --out o",
	"signature inspect x.sig", "evaluate x.onnx --data optdigits", "evaluate --logits x.npy --labels labels.npy", "evaluate --logits logits.npy --labels x.npy",
	"calibrate x.safetensors --data optdigits --out o", "adapt x.safetensors --data optdigits --out o", "verify broken", "data show npy:x.npy,labels.npy", "bench --compare x.json bench.json",
}

// A Git LFS pointer and an empty file in place of what a verb reads are named as such, with exit code 3, and nothing is written.
func TestFilesThatDidNotArrive(t *testing.T) {
	dir := exitFiles(t)
	if err := moreArrays(dir); err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{
		"": `x[.a-z]*: the file is empty|json: the file is empty`,
		"version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef\nsize 12345\n": `(x[.a-z]*|.*json): it is a Git LFS pointer to 12345 bytes`,
	} {
		for _, path := range []string{
			"x", "x.safetensors", "x.gguf", "x.onnx", "x.pth", "x.npz", "x.npy", "x.bin", "x.yaml", "x.sig", "x.json", "folder/x.safetensors", "companions/config.json", "broken/ballast-merge.json",
		} {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(filepath.Join(dir, "a.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "companions", "model.safetensors"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, args := range takers {
			r := runExit(t, dir, "", strings.Fields(args)...)
			if r.code != 3 || !regexp.MustCompile(want).MatchString(r.text) {
				t.Errorf("ballast %s: exit code %d, want 3 and %q\n%s", args, r.code, want, cut(r.text))
			}
		}
		left, err := filepath.Glob(filepath.Join(dir, "o[.]*"))
		if _, folder := os.Stat(filepath.Join(dir, "o")); err != nil || len(left) > 0 || folder == nil {
			t.Errorf("%v are left (%v)", left, err)
		}
	}
}
