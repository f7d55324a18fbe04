package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/anynumber"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/lock"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/own"
)

// The files of a checkpoint, checkpoints/step-00001234: everything the run moves, where it stands, and a checksum of both
// ("sha256sum -c SHA256SUMS" checks it by hand).
const (
	checkpointsDir = "checkpoints"
	lockFile       = "lock"
	stateFile      = "state.json"
	sumsFile       = "SHA256SUMS"
	stepPrefix     = "step-"
)

// record is state.json. It holds no clock: two runs of one recipe write the same bytes.
type record struct {
	SchemaVersion int                      `json:"schema_version"`
	Step          int                      `json:"step"`
	Epoch         int                      `json:"epoch"`    // passes finished
	Position      int                      `json:"position"` // updates done of the present pass
	Seed          uint64                   `json:"seed"`
	Recipe        json.RawMessage          `json:"recipe"` // resolved
	DataChecksum  string                   `json:"data_checksum"`
	StartChecksum string                   `json:"start_checksum,omitempty"` // of the model that init.model names
	Engine        string                   `json:"engine"`
	Metrics       map[string]float64       `json:"metrics"`            // last value of everything logged
	Watched       map[string][]optim.Point `json:"watched,omitempty"`  // of each watcher, by the first of its numbers
	Distance      []distancePoint          `json:"distance,omitempty"` // earlier versions: the distance
	BestStep      int                      `json:"best_step"`          // 0 = none yet
	BestAccuracy  float64                  `json:"best_accuracy"`
	ValidationDue bool                     `json:"validation_due"`   // stopped while the step was being measured
	Tested        bool                     `json:"tested,omitempty"` // the numbers of the test examples are in Metrics, and were logged

	tensors string // file of the tensors
}

// distancePoint is a measurement as earlier versions wrote it.
type distancePoint struct {
	Step     int     `json:"step"`
	Distance float64 `json:"distance"`
}

// Files are the files that Run writes into its folder, as patterns of package path.
var Files = []string{
	checkpointsDir + "/" + lockFile, checkpointsDir + "/" + stepPrefix + "*/" + bundle.WeightsFile,
	checkpointsDir + "/" + stepPrefix + "*/" + stateFile, checkpointsDir + "/" + stepPrefix + "*/" + sumsFile,
}

// checkpoints is the folder of one run's checkpoints, locked against a second run.
type checkpoints struct {
	dir    string
	lock   *lock.Lock
	policy Checkpoint
	last   string // newest one written or gone on from, "" = none

	begun bool     // something may have been written
	made  []string // folders that were missing, innermost last
}

// openCheckpoints makes the folder and locks it. A link in its place, or in that of the lock, is an error.
func openCheckpoints(runDir string, policy Checkpoint) (*checkpoints, error) {
	c := &checkpoints{dir: filepath.Join(runDir, checkpointsDir), policy: policy}
	made, err := durable.MakeDir(runDir)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if c.made = made; !isThere(c.dir) {
		c.made = append(c.made, c.dir)
	}
	if err := untrusted.FolderNoLink(c.dir); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	held, owner, err := lock.Try(filepath.Join(c.dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if held == nil {
		return nil, fmt.Errorf("train: %s: another run (%s) writes here; wait for it or use another folder", runDir, owner)
	}
	c.lock = held
	return c, nil
}

// begin removes what killed writers left, once the run was accepted.
func (c *checkpoints) begin() error {
	c.begun = true
	if err := durable.RemoveTemporaries(c.dir); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// close gives the folder free; one of a run that was refused is as it was before.
func (c *checkpoints) close() error {
	switch {
	case c == nil:
		return nil
	case c.begun:
		return c.lock.Release()
	}
	err := c.lock.Undo()
	durable.RemoveEmpty(c.made)
	return err
}

// isThere reports whether something is at a path.
func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// steps lists the checkpoints there are, oldest first.
func (c *checkpoints) steps() ([]int, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	var steps []int
	for _, e := range entries {
		// A link is not a folder here, so nothing outside is read.
		if digits, ok := strings.CutPrefix(e.Name(), stepPrefix); ok && e.IsDir() {
			if n, err := strconv.Atoi(digits); err == nil && n > 0 {
				steps = append(steps, n)
			}
		}
	}
	slices.Sort(steps)
	return steps, nil
}

func (c *checkpoints) path(step int) string {
	return filepath.Join(c.dir, fmt.Sprintf("%s%08d", stepPrefix, step))
}

// save writes a checkpoint whole or not at all, then removes those no longer wanted.
func (c *checkpoints) save(s *state, r record) error {
	path := c.path(r.Step)
	err := durable.WriteDir(path, durable.Permit{Overwrite: true, Owns: durable.Only(bundle.WeightsFile, stateFile, sumsFile)}, func(tmp string) error {
		weights := filepath.Join(tmp, bundle.WeightsFile)
		if err := bundle.WriteTensors(weights, slices.Collect(s.store.IterVariables())); err != nil {
			return err
		}
		text, err := anynumber.MarshalIndent(r, "  ") // a measure may be infinite, as a perplexity
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tmp, stateFile), append(text, '\n'), 0o644); err != nil {
			return err
		}
		var sums strings.Builder
		for _, name := range []string{bundle.WeightsFile, stateFile} {
			sum, err := fileSum(filepath.Join(tmp, name))
			if err != nil {
				return err
			}
			fmt.Fprintf(&sums, "%s  %s\n", sum, name)
		}
		return os.WriteFile(filepath.Join(tmp, sumsFile), []byte(sums.String()), 0o644)
	})
	if err != nil {
		fix := ""
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			fix = "; free some space and resume"
			if c.last != "" {
				fix += " (the checkpoint " + c.last + " is whole)"
			}
		}
		return fmt.Errorf("train: checkpoint %s: %w%s", path, err, fix)
	}
	c.last = path
	return c.prune(r)
}

// prune keeps the newest checkpoints and the best one. Those of later steps belong to a future that did not happen: the run
// went back because they are broken.
func (c *checkpoints) prune(r record) error {
	steps, err := c.steps()
	if err != nil {
		return err
	}
	past := slices.DeleteFunc(slices.Clone(steps), func(n int) bool { return n > r.Step })
	keep := past[max(0, len(past)-c.policy.KeepLast):]
	for _, n := range steps {
		if slices.Contains(keep, n) || c.policy.KeepBest && n == r.BestStep {
			continue
		}
		if err := os.RemoveAll(c.path(n)); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	return nil
}

// newest returns the newest checkpoint that is whole; step 0 when there is none. A broken one is skipped with a remark.
func (c *checkpoints) newest(remark func(string)) (record, error) {
	steps, err := c.steps()
	if err != nil {
		return record{}, err
	}
	for _, n := range slices.Backward(steps) {
		r, err := c.load(n)
		if err == nil {
			c.last = c.path(n)
			return r, nil
		}
		var not *untrusted.Error
		if errors.As(err, &not) { // nothing that a run of ours leaves
			return record{}, fmt.Errorf("train: %w", err)
		}
		remark(fmt.Sprintf("checkpoint %s is broken (%v); going back to an older one", c.path(n), err))
	}
	return record{}, nil
}

// The most bytes of a checkpoint's small files that are read. A record has 24 bytes for each point of the distance monitor, and more
// in JSON.
const (
	maxSums   = 4 << 10
	maxRecord = 16 << 20
)

// Resumes says whether the run in a folder, if there is one, may be gone on with by a recipe. It only reads. mine is Options.Registry.
func Resumes(dir string, r Recipe, mine ...own.Registry) error {
	c := &checkpoints{dir: filepath.Join(dir, checkpointsDir)}
	if _, err := os.Lstat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := untrusted.NoLink(c.dir); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	saved, err := c.newest(func(string) {})
	if err != nil || saved.Step == 0 {
		return err
	}
	resolved, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return sameRecipe(saved.Recipe, resolved, own.Join(mine))
}

// load checks the sums before it believes a byte. The folder may be from a stranger: none of its files may be a link.
func (c *checkpoints) load(step int) (record, error) {
	path := c.path(step)
	sums, err := untrusted.ReadFileNoLink(filepath.Join(path, sumsFile), maxSums)
	if err != nil {
		return record{}, err
	}
	for _, name := range []string{bundle.WeightsFile, stateFile} {
		sum, err := fileSum(filepath.Join(path, name))
		if err != nil {
			return record{}, err
		}
		if !strings.Contains(string(sums), sum+"  "+name+"\n") {
			return record{}, fmt.Errorf("%s does not match its checksum", name)
		}
	}
	text, err := untrusted.ReadFileNoLink(filepath.Join(path, stateFile), maxRecord)
	if err != nil {
		return record{}, err
	}
	var r record
	if err := strict.Decode(text, &r); err != nil {
		return record{}, fmt.Errorf("%s: %w", stateFile, err)
	}
	if r.SchemaVersion != 1 {
		return record{}, fmt.Errorf("%s has schema_version %d, this build reads 1", stateFile, r.SchemaVersion)
	}
	if r.Step != step || r.BestStep < 0 || r.BestStep > step {
		return record{}, fmt.Errorf("%s says step %d, best step %d", stateFile, r.Step, r.BestStep)
	}
	if r.Watched == nil {
		r.Watched = map[string][]optim.Point{}
	}
	for _, p := range r.Distance {
		r.Watched["distance"] = append(r.Watched["distance"], optim.Point{Step: p.Step, Values: []float64{p.Distance}})
	}
	r.Distance = nil
	if r.Metrics == nil {
		r.Metrics = map[string]float64{}
	}
	r.tensors = filepath.Join(path, bundle.WeightsFile)
	return r, nil
}

func fileSum(path string) (string, error) {
	f, err := untrusted.OpenNoLink(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sameRecipe says which field of a recipe changed since the checkpoint, but for those that change no number.
func sameRecipe(then, now json.RawMessage, mine own.Registry) error {
	a, err := tree(then)
	if err == nil {
		a, err = upgraded(a, mine)
	}
	if err != nil {
		return fmt.Errorf("train: recipe of the checkpoint: %w", err)
	}
	b, err := tree(now)
	if err != nil {
		return fmt.Errorf("train: recipe: %w", err)
	}
	for _, free := range []string{"name", "checkpoint", "test"} {
		delete(a, free)
		delete(b, free)
	}
	if path, was, is, differs := difference("", a, b); differs {
		return &fault.Usage{Err: fmt.Errorf("train: resume: the recipe's %s was %s and is %s now; put it back, or start anew in another folder",
			strict.Short(path), strict.Short(fmt.Sprint(was)), strict.Short(fmt.Sprint(is)))}
	}
	return nil
}

// difference finds the first field, by name, in which two recipes differ.
func difference(path string, a, b any) (where string, was, is any, differs bool) {
	x, xIs := a.(map[string]any)
	y, yIs := b.(map[string]any)
	if !xIs || !yIs {
		return path, a, b, !reflect.DeepEqual(a, b)
	}
	keys := map[string]bool{}
	for k := range x {
		keys[k] = true
	}
	for k := range y {
		keys[k] = true
	}
	names := make([]string, 0, len(keys))
	for k := range keys {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		if where, was, is, differs = difference(strings.TrimPrefix(path+"."+k, "."), x[k], y[k]); differs {
			return where, was, is, true
		}
	}
	return "", nil, nil, false
}
