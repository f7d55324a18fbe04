package corrupt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Copy writes corrupted copies of a folder of images: SHIFT/SEVERITY/PATH.png for each shift and severity, and each image, as ImageNet-C is
// laid out. Each file appears whole or not at all, and one that is there is kept: a copy that was stopped resumes, and another shift or
// severity is added by a second call.
//
// An image is the example whose index is its place in the listing (see Images), so that a folder of classes is shifted as Wrap shifts it.
type Copy struct {
	Table         Table
	Shifts        []Shift // of Table; nil = all, the extra ones too
	Severities    []int   // nil = 1 to 5
	Seed          uint64
	Height, Width int  // images are scaled to cover this and cut to the middle; 0 = they stay as large as they are
	Anew          bool // the folder's earlier copy does not count: begin of Folder removes it
	JPEG          bool // JPEG files of quality 85, as ImageNet-C publishes, in the place of PNG

	// Progress, if not nil, is told how many files of how many there are.
	Progress func(done, total int)
}

// Copied is what became of a Copy.
type Copied struct {
	Images     int      `json:"images"`
	Classes    int      `json:"classes,omitempty"` // sub-folders that all images lie in; 0 = some lie in none
	Written    int      `json:"written"`
	Kept       int      `json:"kept"` // that were there
	Table      string   `json:"table"`
	Shifts     []string `json:"shifts"`
	Severities []int    `json:"severities"`
	Seed       uint64   `json:"seed"`
	Drawn      []string `json:"drawn,omitempty"` // shifts that stand in for the benchmark's
}

// copySettings are in the folder of a copy, under CopyFile: what files of another call may be beside it.
type copySettings struct {
	Table  string `json:"table"`
	Seed   uint64 `json:"seed"`
	Height int    `json:"height,omitempty"`
	Width  int    `json:"width,omitempty"`
	JPEG   bool   `json:"jpeg,omitempty"`
	Images string `json:"images"`          // SHA-256 over the names and sizes of the images
	Frost  string `json:"frost,omitempty"` // SHA-256 of its pictures
}

// CopyFile is the name of the file with the settings of a copy.
const CopyFile = "corrupt.json"

// CopyFiles are patterns of all that Copy writes into a folder, for durable.Only.
func CopyFiles() []string {
	files := []string{CopyFile}
	for _, name := range Names() {
		at := name + "/[1-5]/"
		for range mostDepth + 1 {
			files = append(files, at+"*.png", at+"*.jpg", at)
			at += "*/"
		}
		files = append(files, name+"/")
	}
	return files
}

// job is one image.
type job struct {
	index int
	path  string // relative, with slashes
}

// Folder copies the images below a folder into another. begin, if not nil, is called when all that can be refused before an image is
// decoded has been, before anything is written. The caller holds what lock the folder has.
func (c Copy) Folder(ctx context.Context, from, to string, begin func() error) (Copied, error) {
	images, err := Images(from)
	if err != nil {
		return Copied{}, err
	}
	if err := apart(from, to); err != nil {
		return Copied{}, err
	}
	shifts, severities, err := c.chosen()
	if err != nil {
		return Copied{}, err
	}
	settings, err := c.settings(from, images)
	if err != nil {
		return Copied{}, err
	}
	if !c.Anew {
		if err := settings.check(to); err != nil {
			return Copied{}, err
		}
	}
	if begin != nil {
		if err := begin(); err != nil {
			return Copied{}, err
		}
	}
	if err := settings.write(to); err != nil {
		return Copied{}, err
	}

	r := Copied{Images: len(images), Classes: classes(images), Table: c.Table.Name, Shifts: namesOf(shifts), Severities: severities, Seed: c.Seed}
	for _, s := range shifts {
		if !Comparable(s) {
			r.Drawn = append(r.Drawn, s.Name())
		}
	}
	var written, kept atomic.Int64
	err = c.all(ctx, images, func(j job) error {
		w, k, err := c.one(ctx, from, to, j, shifts, severities, func() {
			if c.Progress != nil {
				c.Progress(int(written.Load()+kept.Load()), len(images)*len(shifts)*len(severities))
			}
		})
		written.Add(int64(w))
		kept.Add(int64(k))
		return err
	})
	r.Written, r.Kept = int(written.Load()), int(kept.Load())
	return r, err
}

// classes is the number of sub-folders that the images lie in, 0 where some lie in none.
func classes(images []string) int {
	seen := map[string]bool{}
	for _, path := range images {
		class, _, inside := strings.Cut(path, "/")
		if !inside {
			return 0
		}
		seen[class] = true
	}
	return len(seen)
}

// chosen are the shifts and severities.
func (c Copy) chosen() ([]Shift, []int, error) {
	shifts, severities := c.Shifts, slices.Sorted(slices.Values(c.Severities))
	if shifts == nil {
		shifts = c.Table.All()
	}
	if c.Severities == nil {
		severities = []int{1, 2, 3, 4, 5}
	}
	if len(shifts) == 0 || len(severities) == 0 {
		return nil, nil, &fault.Usage{Err: errors.New("corrupt: there is no shift, or no severity, to copy images with")}
	}
	for _, severity := range severities {
		if severity < 1 || severity > Severities {
			return nil, nil, &fault.Usage{Err: fmt.Errorf("corrupt: severity is %d; use 1 to %d", severity, Severities)}
		}
	}
	for _, s := range shifts {
		if _, err := settingsOf(s); err != nil {
			return nil, nil, err
		}
		if c.Height > 0 {
			if err := Fits(s, []int{c.Height, c.Width, 3}); err != nil {
				return nil, nil, err
			}
		}
	}
	return shifts, slices.Compact(severities), nil
}

// apart refuses to write into the folder that is read.
func apart(from, to string) error {
	source, err := filepath.EvalSymlinks(from)
	if err != nil {
		return &fault.Input{File: from, Err: untrusted.Reason(err)}
	}
	if source, err = filepath.Abs(source); err != nil {
		return fmt.Errorf("corrupt: %w", err)
	}
	target, err := filepath.Abs(to)
	if err != nil {
		return fmt.Errorf("corrupt: %w", err)
	}
	for at := target; ; at = filepath.Dir(at) { // what is there of the path may go through links
		if real, err := filepath.EvalSymlinks(at); err == nil {
			rest, err := filepath.Rel(at, target)
			if err != nil {
				return fmt.Errorf("corrupt: %w", err)
			}
			target = filepath.Join(real, rest)
			break
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	inside, err := filepath.Rel(source, target)
	if err == nil && inside != ".." && !strings.HasPrefix(inside, ".."+string(filepath.Separator)) {
		return &fault.Usage{Err: fmt.Errorf("corrupt: %s lies in %s, whose images are copied; name a folder elsewhere", to, from)}
	}
	return nil
}

// settings are those of the copy. Names of images that would be the same file are refused.
func (c Copy) settings(from string, images []string) (copySettings, error) {
	s := copySettings{Table: c.Table.Name, Seed: c.Seed, Height: c.Height, Width: c.Width, JPEG: c.JPEG}
	sum := sha256.New()
	taken := map[string]string{}
	for _, path := range images {
		stat, err := os.Stat(filepath.Join(from, filepath.FromSlash(path)))
		if err != nil {
			return s, &fault.Input{File: filepath.Join(from, path), Err: untrusted.Reason(err)}
		}
		fmt.Fprintf(sum, "%q %d\n", path, stat.Size())
		name := withoutEnding(path)
		if other, ok := taken[name]; ok {
			return s, &fault.Input{
				File: filepath.Join(from, filepath.FromSlash(path)), Err: fmt.Errorf("its copy would have the name of that of %s", filepath.Join(from, filepath.FromSlash(other))),
				Fix: "rename one of them",
			}
		}
		taken[name] = path
	}
	s.Images = hex.EncodeToString(sum.Sum(nil))
	for _, shift := range c.Table.All() {
		if q, ok := shift.(Quantized); ok {
			shift = q.Shift
		}
		if f, ok := shift.(Frost); ok && f.Textures != nil {
			s.Frost = f.digest()
		}
	}
	return s, nil
}

// check refuses a folder that holds a copy with other settings.
func (s copySettings) check(dir string) error {
	path := filepath.Join(dir, CopyFile)
	text, err := untrusted.ReadFile(path, 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var there copySettings
	if err := json.Unmarshal(text, &there); err != nil {
		return &fault.Input{File: path, Err: errors.New("it does not hold the settings of a copy"), Fix: "remove the folder, or name another one"}
	}
	if there == s {
		return nil
	}
	var differ []string
	for _, d := range []struct {
		what      string
		here, now any
	}{
		{"table", there.Table, s.Table}, {"seed", there.Seed, s.Seed}, {"height", there.Height, s.Height}, {"width", there.Width, s.Width},
		{"JPEG files", there.JPEG, s.JPEG},
	} {
		if d.here != d.now {
			differ = append(differ, fmt.Sprintf("%s %v, not %v", d.what, d.here, d.now))
		}
	}
	if there.Images != s.Images {
		differ = append(differ, "other images")
	}
	if there.Frost != s.Frost {
		differ = append(differ, "another frost")
	}
	return &fault.Usage{Err: fmt.Errorf("corrupt: %s holds a copy with %s; name another folder, or begin it anew (--overwrite)", dir, strings.Join(differ, ", "))}
}

func (s copySettings) write(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("corrupt: %w", err)
	}
	return durable.WriteFile(filepath.Join(dir, CopyFile), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// all gives every image to one of some workers, and stops at the first error.
func (c Copy) all(ctx context.Context, images []string, do func(job) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(images)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(images) || ctx.Err() != nil {
					return
				}
				if err := do(job{i, images[i]}); err != nil {
					stop(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
