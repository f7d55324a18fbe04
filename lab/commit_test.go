package lab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommitOf compares with what git says, where there is one, in the shapes that a repository has.
func TestCommitOf(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git here")
	}
	root := t.TempDir()
	git := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	same := func(what, dir string) {
		t.Helper()
		if got, want := commitOf(dir), git(dir, "rev-parse", "HEAD"); got != want {
			t.Errorf("%s: got %q, git says %q", what, got, want)
		}
	}
	repository := filepath.Join(root, "one")
	git(root, "init", "-q", "-b", "main/line", "one")
	if got := commitOf(repository); got != "" {
		t.Errorf("a repository without a commit: %q", got)
	}
	git(repository, "commit", "-q", "--allow-empty", "-m", "first")
	same("a branch", repository)
	below := filepath.Join(repository, "a", "b")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	same("a folder below", below)
	git(repository, "pack-refs", "--all")
	same("packed references", repository)
	git(repository, "commit", "-q", "--allow-empty", "-m", "second")
	same("a reference newer than the packed one", repository)
	git(repository, "worktree", "add", "-q", "-b", "side", filepath.Join(root, "tree"))
	git(filepath.Join(root, "tree"), "commit", "-q", "--allow-empty", "-m", "third")
	same("a work tree", filepath.Join(root, "tree"))
	git(repository, "pack-refs", "--all")
	same("a work tree with packed references", filepath.Join(root, "tree"))
	git(repository, "checkout", "-q", "--detach", "HEAD~1")
	same("a commit without a branch", repository)
	git(root, "init", "-q", "outer")
	git(filepath.Join(root, "outer"), "submodule", "--quiet", "add", repository, "inner")
	same("a submodule", filepath.Join(root, "outer", "inner"))
}

// TestCommitOfDoubts: what is no repository gives no commit, and nothing outside of its references is read.
func TestCommitOfDoubts(t *testing.T) {
	object := strings.Repeat("ab", 20)
	for name, files := range map[string]map[string]string{
		"nothing":            {},
		"no object":          {".git/HEAD": "ref: refs/heads/x\n", ".git/refs/heads/x": "\x1b[31mno object\n"},
		"out of refs":        {".git/HEAD": "ref: refs/../../secret\n", "secret": object},
		"an absolute path":   {".git/HEAD": "ref: /etc/passwd\n"},
		"a circle":           {".git/HEAD": "ref: refs/a\n", ".git/refs/a": "ref: refs/b\n", ".git/refs/b": "ref: refs/a\n"},
		"a large HEAD":       {".git/HEAD": object + strings.Repeat("\n", 5000)},
		"gitdir of a circle": {".git": "gitdir: .git\n"},
		"an empty file":      {".git": ""},
	} {
		dir := t.TempDir()
		for file, text := range files {
			path := filepath.Join(dir, filepath.FromSlash(file))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if got := commitOf(dir); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
