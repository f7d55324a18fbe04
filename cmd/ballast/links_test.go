package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRunFolderOfOthers: each file that a run opens in its folder is a link to something precious, or a pipe. The run says so, and
// what the link leads to is as it was.
func TestRunFolderOfOthers(t *testing.T) {
	settings := []string{"network={name: mlp, hidden: [4]}", "steps=4", "checkpoint.every_steps=2", "evaluate_every=0"}
	start := append([]string{"train", "--out", "r", "--resume", "-q"}, settings...)
	step := "checkpoints/step-00000002"
	for _, name := range []string{
		"run.lock", "metrics.jsonl", "meta.json", "config.yaml", "overrides.txt", "artifacts", "checkpoints", "checkpoints/lock",
		step + "/state.json", step + "/SHA256SUMS", step + "/model.safetensors", "checkpoints/step-00000004",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if r := runHostile(t, dir, "go", 20*time.Second, append([]string{"train", "--out", "r", "-q"}, append(settings, "steps=2")...)...); r.code != 0 {
				t.Fatal(r.text)
			}
			path := filepath.Join(dir, "r", filepath.FromSlash(name))
			folder := false
			if stat, err := os.Lstat(path); err == nil {
				folder = stat.IsDir()
			} else if strings.Contains(name, "/step-") {
				folder = true
			}
			victim := filepath.Join(dir, "victim")
			var err error
			if folder {
				err = put(filepath.Join(victim, "precious"), []byte("precious"))
			} else {
				err = put(victim, []byte("precious"))
			}
			if err = errors.Join(err, os.RemoveAll(path)); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(victim, path); err != nil {
				t.Skip("no links here:", err)
			}
			before := listing(t, victim).names
			r := runHostile(t, dir, "go", 20*time.Second, start...)
			if after := listing(t, victim).names; after != before {
				t.Errorf("the target was\n%s\nand is\n%s", before, after)
			}
			text, err := os.ReadFile(filepath.Join(victim, "precious"))
			if !folder {
				text, err = os.ReadFile(victim)
			}
			if string(text) != "precious" || err != nil {
				t.Errorf("the target holds %q, %v", text, err)
			}
			switch name {
			case "config.yaml", "overrides.txt", "checkpoints/step-00000004": // written anew beside it and renamed: the link may go
				return
			}
			if r.code != exitBadInput || !strings.Contains(r.text, filepath.FromSlash(name)) || !strings.Contains(r.text, "it is a link") {
				t.Errorf("exit code %d, want 3 and a message that names %s\n%s", r.code, name, r.text)
			}
		})
	}
}

// TestNoProgramOfTheFolder: a repository whose configuration names programs is trained in, and none of them runs.
func TestNoProgramOfTheFolder(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git here")
	}
	dir := t.TempDir()
	for _, args := range [][]string{
		{"init", "-q"}, {"-c", "user.email=a@b", "-c", "user.name=a", "commit", "-q", "--allow-empty", "-m", "x"},
		{"config", "core.fsmonitor", "touch PWNED; false"}, {"config", "core.pager", "touch PWNED"}, {"config", "alias.status", "!touch PWNED"}, {"config", "filter.x.clean", "touch PWNED"},
		{"config", "core.hooksPath", "hooks"}, {"config", "core.sshCommand", "touch PWNED"},
	} {
		cmd := exec.Command(git, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	for _, args := range [][]string{
		{"train", "--out", "r", "-q", "steps=1", "network={name: mlp, hidden: [4]}"},
		{"compare", "--out", "c", "-q", "steps=1", "network={name: mlp, hidden: [4]}", "seed=1"},
	} {
		if r := runHostile(t, dir, "go", 20*time.Second, args...); r.code != 0 {
			t.Fatalf("%v: %s", args, r.text)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "PWNED")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a program of the folder's configuration ran")
	}
	head, err := exec.Command(git, "-C", dir, "-c", "core.fsmonitor=false", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	if meta, err := os.ReadFile(filepath.Join(dir, "r", "meta.json")); err != nil || !strings.Contains(string(meta), `"commit": "`+strings.TrimSpace(string(head))+`"`) {
		t.Errorf("meta.json has no commit: %v\n%s", err, meta)
	}
}
