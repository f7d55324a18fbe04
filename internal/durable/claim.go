package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// The endings of the files that stand beside an output while it is written.
const (
	lockSuffix      = ".ballast-lock"
	temporarySuffix = ".ballast-tmp"
	oldSuffix       = ".ballast-old"

	// WorkSuffix and JournalSuffix are those of a long work that resumes where it was cut short.
	WorkSuffix    = ".ballast-work"
	JournalSuffix = ".ballast-journal"

	// StageSuffix is that of a folder in which an output file is made in several steps. It goes when the file is found whole.
	StageSuffix = ".ballast-stage"
)

// Beside is a name beside an output: .BASE and an ending.
func Beside(path, suffix string) string {
	clean := filepath.Clean(path)
	base := filepath.Base(clean)
	if len(base) > 200 { // file systems allow 255 bytes
		base = base[:200]
	}
	return filepath.Join(filepath.Dir(clean), "."+base+suffix)
}

// Busy says that another process is writing an output. What was to be written is not.
type Busy struct {
	Path    string
	Process int // 0 if it is not known
}

// Error names the output, the process and what to do.
func (e *Busy) Error() string {
	owner := "another process"
	switch {
	case e.Process == os.Getpid():
		owner = "this process"
	case e.Process > 0:
		owner = fmt.Sprintf("process %d", e.Process)
	}
	return fmt.Sprintf("%s is being written by %s; wait for it, or name another output", e.Path, owner)
}

// Claim is an output that this process alone may write, until it is released.
type Claim struct {
	path  string // absolute, the links of its folder followed
	allow Permit
	lock  *flock.Flock
	made  []string // folders that were made for it, innermost last
	using bool     // a write is under way
	once  bool     // it ends with one write

	begin func() error // of a long work that has not begun; nil = it has, or is none
}

// claims are the outputs that this process writes, by their path.
var claims = struct {
	sync.Mutex
	freed *sync.Cond
	of    map[string]*Claim
}{of: map[string]*Claim{}}

func init() { claims.freed = sync.NewCond(&claims) }

// ClaimFile takes an output file for this process before the work for it begins: it refuses what allowed does not permit to be
// replaced, a link or a folder (*fault.Usage), and a file that another process writes (*Busy). A pipe or a character device is
// never locked; stream reports one.
func ClaimFile(path string, allowed Permit) (c *Claim, stream bool, err error) {
	if stream, err = fileTarget(path); err != nil || stream {
		return nil, stream, err
	}
	if c, err = claim(path, allowed); err != nil {
		return nil, false, err
	}
	// Under the lock: the process that held it may have just written the file, and what a killed one left goes either way.
	if _, err = allowed.file(path); err != nil {
		return nil, false, errors.Join(err, os.RemoveAll(Beside(path, StageSuffix)), c.Release())
	}
	return c, false, nil
}

// ClaimDir is ClaimFile for an output folder. Until it is released, its permit is the one that counts for WriteDir on that folder.
func ClaimDir(path string, allowed Permit) (*Claim, error) {
	c, err := claim(path, allowed)
	if err != nil {
		return nil, err
	}
	if err := recoverDir(path); err != nil {
		return nil, errors.Join(err, c.Release())
	}
	if err := allowed.dir(path); err != nil {
		return nil, errors.Join(err, c.Release())
	}
	return c, nil
}

// Lock takes an output for this process without a look at what is there, for those who must look under the lock; see ClaimDir.
func Lock(path string, allowed Permit) (*Claim, error) { return claim(path, allowed) }

// Update changes a file that several processes share: edit is given what it holds, nil if it is missing, and returns what to write.
// No other Update of the file comes in between.
func Update(path string, edit func(content []byte) ([]byte, error)) (err error) {
	var c *Claim
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		var busy *Busy
		if c, err = claim(path, Permit{}); err == nil {
			break
		}
		if !errors.As(err, &busy) || time.Since(began) > waitForLock {
			return err
		}
	}
	defer func() { err = errors.Join(err, c.Release()) }()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("durable: %w", err)
	}
	if content, err = edit(content); err != nil {
		return err
	}
	return WriteFile(path, func(w io.Writer) error { _, err := w.Write(content); return err })
}

func claim(path string, allowed Permit) (*Claim, error) {
	real, made, err := locate(path)
	if err != nil {
		return nil, err
	}
	c := &Claim{path: real, allow: allowed, made: made}
	claims.Lock()
	for other := claims.of[real]; other != nil; other = claims.of[real] {
		if !other.once {
			claims.Unlock()
			return nil, &Busy{path, os.Getpid()}
		}
		claims.freed.Wait()
	}
	claims.of[real] = c
	claims.Unlock()

	if c.lock, err = takeLock(path, Beside(real, lockSuffix), 0); err != nil {
		c.forget()
		removeEmpty(made)
		return nil, err
	}
	return c, nil
}

// Release gives the output back and removes the lock, what a failed write left, and the folders that were made for an output
// that was never written.
func (c *Claim) Release() error {
	if c == nil {
		return nil
	}
	defer c.forget()
	err := errors.Join(os.RemoveAll(Beside(c.path, temporarySuffix)), dropLock(c.lock))
	removeEmpty(c.made)
	return err
}

// Begin makes the folder of a long work that was claimed with Later ready for it, once: see Work.
func (c *Claim) Begin() error {
	if c == nil || c.begin == nil {
		return nil
	}
	begin := c.begin
	c.begin = nil
	return begin()
}

// permitOf is the permit of the claim that this process has on path, else the one given.
func permitOf(path string, given Permit) Permit {
	real, err := canonical(path)
	if err != nil {
		return given
	}
	claims.Lock()
	defer claims.Unlock()
	if c := claims.of[real]; c != nil && !c.once {
		return c.allow
	}
	return given
}

func (c *Claim) forget() {
	claims.Lock()
	delete(claims.of, c.path)
	claims.Unlock()
	claims.freed.Broadcast()
}

// waitForLock is how long a single write waits for another process.
const waitForLock = 10 * time.Second

// hold takes an output for one write: under the claim that this process has on it or on a folder above it, else with a lock of
// its own.
func hold(path string) (release func() error, err error) {
	real, made, err := locate(path)
	if err != nil {
		return nil, err
	}
	claims.Lock()
	defer claims.Unlock()
	for {
		c := claims.of[real]
		if c == nil {
			break
		}
		if !c.once && !c.using {
			c.using = true
			return func() error {
				claims.Lock()
				c.using = false
				claims.Unlock()
				claims.freed.Broadcast()
				return nil
			}, nil
		}
		claims.freed.Wait()
	}
	c := &Claim{path: real, once: true}
	claims.of[real] = c
	if covered(real) {
		return func() error { c.forget(); return nil }, nil
	}

	claims.Unlock()
	c.lock, err = takeLock(path, Beside(real, lockSuffix), waitForLock)
	claims.Lock()
	if err != nil {
		delete(claims.of, real)
		claims.freed.Broadcast()
		removeEmpty(made)
		return nil, err
	}
	return func() error {
		defer c.forget()
		return dropLock(c.lock)
	}, nil
}

// covered tells whether this process has claimed a folder above path. The caller holds the mutex.
func covered(path string) bool {
	for dir := filepath.Dir(path); dir != path; path, dir = dir, filepath.Dir(dir) {
		if claims.of[dir] != nil {
			return true
		}
	}
	return false
}

// cover makes the files of a folder that this process alone knows need no locks.
func cover(dir string) (uncover func()) {
	real, err := canonical(dir)
	if err != nil {
		return func() {}
	}
	c := &Claim{path: real}
	claims.Lock()
	claims.of[real] = c
	claims.Unlock()
	return c.forget
}

// Cover says that this process holds a lock of its own on a folder, so that writes into it need no others.
func Cover(dir string) (uncover func()) { return cover(dir) }

// locate makes the folders above path, returns those that were missing, and the path as claims know it.
func locate(path string) (real string, made []string, err error) {
	if made, err = makeParents(path); err != nil {
		return "", nil, err
	}
	real, err = canonical(path)
	return real, made, err
}

// canonical is the absolute path, the links of its folder followed.
func canonical(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("durable: %w", err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", fmt.Errorf("durable: %w", err)
	}
	if dir == abs {
		return "", refuse("%s is the root of a file system; name a folder in it", path)
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// makeParents makes the folders above path and returns those that were missing, innermost last.
func makeParents(path string) (made []string, err error) {
	dir := filepath.Dir(filepath.Clean(path))
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); err == nil || !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		made = append([]string{at}, made...)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("durable: %w", err)
	}
	return made, nil
}

// MakeDir makes a folder and those above it, and returns the ones that were missing, innermost last. RemoveEmpty takes them back.
func MakeDir(path string) (made []string, err error) { return makeParents(filepath.Join(path, "x")) }

// RemoveEmpty removes folders that MakeDir made, as long as nothing is in them.
func RemoveEmpty(made []string) { removeEmpty(made) }

func removeEmpty(dirs []string) {
	for i := len(dirs) - 1; i >= 0; i-- {
		if os.Remove(dirs[i]) != nil { // it holds something
			return
		}
	}
}

// lockText begins the content of a lock file; the number of the process follows.
const lockText = "ballast lock, process "

// takeLock locks a lock file. Whoever holds it removes the file when done, so a file that was locked counts only while it is the
// one that the path names.
func takeLock(output, path string, wait time.Duration) (*flock.Flock, error) {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		owner, err := lockOwner(path)
		if err != nil {
			return nil, err
		}
		lock := flock.New(path, flock.SetFlag(os.O_RDWR|os.O_CREATE|lockFlags), flock.SetPermissions(0o644))
		locked, err := lock.TryLock()
		if err != nil {
			return nil, fmt.Errorf("durable: lock %s: %w", path, err)
		}
		if !locked {
			// The owner writes its number just after it has the lock.
			waited := time.Since(began)
			if waited >= wait && (owner > 0 || waited > wait+time.Second/2) {
				return nil, &Busy{output, owner}
			}
			continue
		}
		mine, err1 := lock.Stat()
		there, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(mine, there) {
			// The number is for people; a disk too full for it does not stop the work.
			_ = os.WriteFile(path, []byte(lockText+strconv.Itoa(os.Getpid())+"\n"), 0o644)
			return lock, nil
		}
		if err := lock.Unlock(); err != nil {
			return nil, fmt.Errorf("durable: unlock %s: %w", path, err)
		}
	}
}

// lockOwner reads the process of a lock file, 0 if there is none, and refuses a file that is no lock.
func lockOwner(path string) (int, error) {
	stat, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("durable: %w", err)
	}
	text := ""
	if stat.Mode().IsRegular() {
		content, err := untrusted.ReadFileNoLink(path, 1<<10)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		text = string(content)
	}
	number, ours := strings.CutPrefix(text, lockText)
	if !stat.Mode().IsRegular() || text != "" && !ours {
		return 0, refuse("%s is not a lock that Ballast wrote; move it away", path)
	}
	process, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		process = 0 // it is being written
	}
	return process, nil
}

// dropLock removes a lock file and then unlocks it, in this order: one who waits sees that it is gone and makes a new one.
func dropLock(lock *flock.Flock) error {
	if lock == nil {
		return nil
	}
	// Windows removes no open file; there it stays, unlocked.
	_ = os.Remove(lock.Path())
	if err := lock.Unlock(); err != nil {
		return fmt.Errorf("durable: unlock %s: %w", lock.Path(), err)
	}
	return nil
}
