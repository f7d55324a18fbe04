package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Journal is what a procedure with a loop of its own needs to go on, with the same numbers, after it was cut short: its configuration, what it
// measured so far, and every variable.
//
//	run.json              Config, History, the name of the file of variables
//	state-N.safetensors   the variables after N updates
//
// Both are written whole or not at all, run.json last; a crash at any moment leaves a state that can be gone on from.
type Journal[C, P any] struct {
	Config  C      `json:"config"`
	History []P    `json:"history"`
	State   string `json:"state"`

	ours bool // the folder has a journal, so that states in it are of earlier updates
}

var stateName = regexp.MustCompile(`^state-[0-9]+\.safetensors$`)

// Save writes the journal and the variables after updates into dir, and removes the
// states of earlier updates; "" saves nothing.
func (j *Journal[C, P]) Save(dir string, updates int, variables []*model.Variable) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	j.State = fmt.Sprintf("state-%d.safetensors", updates)
	if err := bundle.WriteTensors(filepath.Join(dir, j.State), variables); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, "run.json"), func(w io.Writer) error { return json.NewEncoder(w).Encode(j) }); err != nil {
		return err
	}
	if !j.ours {
		j.ours = true
		return nil
	}
	return j.prune(dir)
}

// prune removes the states of other updates than the journal's.
func (j *Journal[C, P]) prune(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); name != j.State && stateName.MatchString(name) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("train: %w", err)
			}
		}
	}
	return nil
}

// maxJournal is the most bytes of a run.json that are read; a point of its history has about 200.
const maxJournal = 64 << 20

// Load reads what Save wrote, and the variables; a folder without a journal, and "", leave the journal as it is. goesOn says whether
// the run that dir holds may be gone on with.
func (j *Journal[C, P]) Load(dir string, variables []*model.Variable, goesOn func(saved Journal[C, P]) error) error {
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, "run.json")
	text, err := untrusted.ReadFileNoLink(path, maxJournal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	var saved Journal[C, P]
	if err := strict.Decode(text, &saved); err != nil {
		return &fault.Input{File: path, Err: err, Fix: "remove the folder, or use another"}
	}
	if err := goesOn(saved); err != nil {
		return fmt.Errorf("%s: %w; use another folder, or remove this one", dir, err)
	}
	if !stateName.MatchString(saved.State) {
		return &fault.Input{File: path, Field: "state", Err: fmt.Errorf("it is %q", strict.Short(saved.State)), Fix: "it must be a file state-N.safetensors of the same folder"}
	}
	state := filepath.Join(dir, saved.State)
	if err := untrusted.NoLink(state); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := bundle.ReadTensors(state, variables); err != nil {
		return err
	}
	j.History, j.State, j.ours = saved.History, saved.State, true
	return j.prune(dir) // a run that was killed before it pruned left one too many
}
