//go:build cgo && !noxla && linux && (amd64 || arm64)

package engine

/*
#cgo LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// The beginning of PJRT_Api, which is part of the interface's promise.
typedef struct {
	size_t struct_size;
	void *extension;
	struct {
		size_t struct_size;
		void *extension;
		int major, minor;
	} version;
} ballast_pjrt;

// say writes one line for the parent: "+" if the plugin loads, else what is wrong.
static void say(int fd, const char *text) {
	size_t n = strlen(text), done = 0;
	while (done < n) {
		ssize_t w = write(fd, text + done, n - done);
		if (w < 0 && errno != EINTR) return;
		if (w > 0) done += w;
	}
}

// child loads the plugin and asks for its interface. It never returns: _exit runs nothing of the parent's.
static void child(const char *path, int fd) {
	// Go's handlers have no runtime to work with here; a plugin's death must be a death.
	for (int s = 1; s < NSIG; s++) signal(s, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	struct rlimit no_core = {0, 0};
	setrlimit(RLIMIT_CORE, &no_core);
	int null = open("/dev/null", O_RDWR);
	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
	}
	void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (library == NULL) {
		const char *why = dlerror();
		say(fd, why != NULL ? why : "it cannot be loaded");
		_exit(1);
	}
	const ballast_pjrt *(*get)(void) = (const ballast_pjrt *(*)(void))dlsym(library, "GetPjrtApi");
	if (get == NULL) {
		say(fd, "it does not export GetPjrtApi");
		_exit(1);
	}
	const ballast_pjrt *api = get();
	if (api == NULL) {
		say(fd, "its GetPjrtApi returns nothing");
		_exit(1);
	}
	if (api->struct_size < sizeof(ballast_pjrt) || api->struct_size > 1 << 16 || api->version.major != 0) {
		say(fd, "what its GetPjrtApi returns is not the PJRT interface of version 0");
		_exit(1);
	}
	say(fd, "+");
	_exit(0);
}

static long long now_ms(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

// ballast_try loads a plugin in a child process. said gets what the child said; the result is the child's status from
// waitpid, -1 if there is none, -2 if it did not finish within limit_ms, -3 if there is no child (errno says why).
static int ballast_try(const char *path, int limit_ms, char *said, int room) {
	int ends[2], status = -1;
	said[0] = 0;
	if (pipe2(ends, O_CLOEXEC) != 0) return -3;
	pid_t pid = fork();
	if (pid < 0) {
		int why = errno;
		close(ends[0]);
		close(ends[1]);
		errno = why;
		return -3;
	}
	if (pid == 0) {
		close(ends[0]);
		child(path, ends[1]);
	}
	close(ends[1]);
	long long end = now_ms() + limit_ms;
	int n = 0, late = 0;
	for (;;) { // until the child closes its end
		long long left = end - now_ms();
		struct pollfd p = {ends[0], POLLIN, 0};
		int r = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (r < 0 && errno == EINTR) continue;
		if (r <= 0) {
			late = 1;
			break;
		}
		ssize_t got = read(ends[0], said + n, room - 1 - n);
		if (got < 0 && errno == EINTR) continue;
		if (got <= 0) break;
		n += got;
	}
	said[n] = 0;
	close(ends[0]);
	if (late) kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) { // somebody else in this program waits for all children
			status = -1;
			break;
		}
	}
	return late ? -2 : status;
}

// ballast_preload keeps a library in the process: what asks for it by its name later gets this one.
static int ballast_preload(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL) != NULL; }
*/
import "C"

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
)

// trial remembers that a plugin was seen to load here. A change of any field has it tried again.
type trial struct {
	Path     string `json:"path"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // nanoseconds since 1970
	Changed  int64  `json:"changed"`  // the same of the inode: a file put in its place may keep the other
	SHA256   string `json:"sha256"`   // what its marker says, "" without one
	Machine  string `json:"machine"`
}

var trying sync.Mutex

// tryPlugin loads a plugin that was never seen to load here in a child process first. A plugin can be whole and still
// kill the process that loads it, or keep it for ever: in a constructor, or in GetPjrtApi. Nothing in Go catches that.
//
// The child is a fork without exec. Starting the own binary again would run all of a program's initialisation before
// this package could step in, and a library cannot know what that does. POSIX promises little for a fork of a process
// with threads, but glibc and musl make malloc usable in such a child, which is what dlopen needs besides its own lock; the
// lock is free unless another thread loads a library in that very moment, and then the time limit ends it. The child
// leaves by _exit, has the default signal handlers and no standard output, and touches nothing of Go.
//
// What was seen is kept in the folder tried of the engine folder, and later starts read that alone.
func tryPlugin(path string) error {
	trying.Lock()
	defer trying.Unlock()
	seen, err := describe(path)
	if err != nil {
		return err
	}
	note, noteErr := notePath(path)
	if noteErr == nil {
		var before trial
		if data, err := os.ReadFile(note); err == nil && json.Unmarshal(data, &before) == nil && before == seen {
			return nil
		}
	}
	limit, err := patience()
	if err != nil {
		return err
	}
	if err := inChild(path, limit); err != nil {
		return &fault.Input{File: path, Err: err, Fix: `remove it, or run "ballast engine install --force"; --engine go does without`}
	}
	if noteErr == nil {
		// Where nothing can be written, as in a read-only home, every start tries again.
		_ = durable.WriteFile(note, func(w io.Writer) error { return json.NewEncoder(w).Encode(seen) })
	}
	return nil
}

// preload loads a library before the plugin looks for it, as JAX does: the plugin's own search path lacks some folders.
// One that cannot be loaded is left to the plugin, which says what it misses.
func preload(path string) bool {
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	return C.ballast_preload(cPath) == 1
}

func inChild(path string, limit time.Duration) error {
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	said := make([]byte, 2048)
	status, err := C.ballast_try(cPath, C.int(limit.Milliseconds()), (*C.char)(unsafe.Pointer(&said[0])), C.int(len(said)))
	text, _, _ := strings.Cut(string(said), "\x00")
	wait := syscall.WaitStatus(status)
	switch {
	case status == -3:
		return fmt.Errorf("the XLA plugin cannot be tried in a process of its own: %w", err)
	case text == "+" && (status == 0 || status == -1):
		return nil
	case status == -2:
		return fmt.Errorf("the XLA plugin did not finish loading within %v (%s=2m gives it longer)", limit, EnvPatience)
	case text != "" && text != "+":
		return errors.New("the XLA plugin cannot be loaded: " + text)
	case status != -1 && wait.Signaled():
		return fmt.Errorf("the XLA plugin kills the process that loads it (%v)", wait.Signal())
	case status != -1 && wait.Exited():
		return fmt.Errorf("the XLA plugin ends the process that loads it (exit status %d)", wait.ExitStatus())
	}
	return errors.New("the XLA plugin ends the process that loads it")
}

func describe(path string) (trial, error) {
	info, err := os.Stat(path)
	if err != nil {
		return trial{}, fmt.Errorf("plugin: %w", err)
	}
	t := trial{Path: path, Size: info.Size(), Modified: info.ModTime().UnixNano(), Machine: machine()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		t.Changed = s.Ctim.Nano()
	}
	if m, err := readMarker(path); err == nil {
		t.SHA256 = m.SHA256
	}
	return t, nil
}

// notePath is where what was seen of a plugin is kept.
func notePath(path string) (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(dir, "tried", hex.EncodeToString(sum[:8])+".json"), nil
}

// machine is a digest of what decides whether a plugin loads: the processor, the kernel, the GPU's driver. A home folder
// may be shared by machines that differ.
func machine() string {
	h := sha256.New()
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		for s := bufio.NewScanner(f); s.Scan() && s.Text() != ""; { // the first processor
			name, value, _ := strings.Cut(s.Text(), ":")
			switch strings.TrimSpace(name) {
			case "model name", "flags", "Features", "CPU part":
				fmt.Fprintln(h, value)
			}
		}
		f.Close()
	}
	for _, name := range []string{"/proc/sys/kernel/osrelease", nvidiaVersion} {
		if data, err := os.ReadFile(name); err == nil {
			h.Write(data)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
