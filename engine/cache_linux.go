//go:build cgo && !noxla && linux && (amd64 || arm64)

package engine

/*
#cgo LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// What is needed of the PJRT interface, version 0: its table of functions, and the arguments of five of them. The order of
// the table and the layout of the arguments only ever grow at their ends.
typedef struct {
	size_t struct_size;
	void *extension;
	struct {
		size_t struct_size;
		void *extension;
		int major, minor;
	} version;
	void *call[57];
} ballast_api;

enum { error_destroy = 0, client_compile = 20, executable_destroy = 40, optimized_program = 48, executable_serialize = 49, get_executable = 51, deserialize_and_load = 56 };

typedef struct { size_t struct_size; void *extension; char *code; size_t code_size; const char *format; size_t format_size; } ballast_program;
typedef struct { size_t struct_size; void *extension; void *client; const ballast_program *program; const char *options; size_t options_size; void *executable; } compile_args;
typedef struct { size_t struct_size; void *extension; void *loaded; void *executable; } get_executable_args;
typedef struct { size_t struct_size; void *extension; void *executable; const char *bytes; size_t size; void *backing; void (*release)(void *); } serialize_args;
typedef struct { size_t struct_size; void *extension; void *client; const char *bytes; size_t size; void *loaded; const char *options; size_t options_size; } load_args;
typedef struct { size_t struct_size; void *extension; void *object; } destroy_args;
typedef struct { size_t struct_size; void *extension; void *executable; ballast_program *program; } program_args;

static void *ballast_room(size_t size) { return malloc(size); }

static ballast_api *api;
static void *(*compile)(compile_args *);

extern void *ballastCached(char *code, size_t code_size, char *options, size_t options_size, size_t *size);
extern void ballastCompiled(char *code, size_t code_size, char *options, size_t options_size, char *bytes, size_t size);
extern void ballastLoaded(void);

static void forget(void *error) {
	destroy_args d = {sizeof d, NULL, error};
	((void (*)(destroy_args *))api->call[error_destroy])(&d);
}

static int contains(const char *in, size_t size, const char *text) {
	size_t n = strlen(text);
	for (size_t i = 0; i + n <= size; i++)
		if (memcmp(in + i, text, n) == 0) return 1;
	return 0;
}

// can_keep says whether a program may be serialised: the plugin dies of one with a call into oneDNN in it.
static int can_keep(void *executable) {
	ballast_program p = {sizeof p, NULL, NULL, 0, NULL, 0};
	program_args a = {sizeof a, NULL, executable, &p};
	void *(*optimized)(program_args *) = (void *(*)(program_args *))api->call[optimized_program];
	void *error = optimized(&a); // its size
	if (error == NULL && p.code_size > 0 && (p.code = malloc(p.code_size)) != NULL) {
		error = optimized(&a);
		int calls = error != NULL || contains(p.code, p.code_size, "__onednn");
		free(p.code);
		if (error != NULL) forget(error);
		return !calls;
	}
	if (error != NULL) forget(error);
	return 0;
}

// cached_compile stands in the place of the plugin's compile function: it loads a program that was compiled before, and
// keeps what it has to compile.
static void *cached_compile(compile_args *args) {
	const ballast_program *p = args->program;
	size_t size = 0;
	void *bytes = ballastCached(p->code, p->code_size, (char *)args->options, args->options_size, &size);
	if (bytes != NULL) {
		load_args l = {sizeof l, NULL, args->client, bytes, size, NULL, NULL, 0};
		void *error = ((void *(*)(load_args *))api->call[deserialize_and_load])(&l);
		free(bytes);
		if (error == NULL) {
			args->executable = l.loaded;
			ballastLoaded();
			return NULL;
		}
		forget(error);
	}
	void *error = compile(args);
	if (error != NULL) return error;
	get_executable_args g = {sizeof g, NULL, args->executable, NULL};
	void *trouble = ((void *(*)(get_executable_args *))api->call[get_executable])(&g);
	if (trouble != NULL) {
		forget(trouble);
		ballastCompiled(p->code, p->code_size, (char *)args->options, args->options_size, NULL, 0);
		return NULL;
	}
	serialize_args s = {sizeof s, NULL, g.executable, NULL, 0, NULL, NULL};
	if (can_keep(g.executable)) {
		trouble = ((void *(*)(serialize_args *))api->call[executable_serialize])(&s);
		if (trouble != NULL) {
			forget(trouble);
			s.bytes = NULL;
		}
	}
	ballastCompiled(p->code, p->code_size, (char *)args->options, args->options_size, (char *)s.bytes, s.size);
	if (s.bytes != NULL && s.release != NULL) s.release(s.backing);
	destroy_args d = {sizeof d, NULL, g.executable};
	trouble = ((void *(*)(destroy_args *))api->call[executable_destroy])(&d);
	if (trouble != NULL) forget(trouble);
	return NULL;
}

// ballast_cache puts cached_compile into a plugin's table. Returns 0 if the table has not all that it needs.
static int ballast_cache(const char *path) {
	void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (library == NULL) return 0;
	ballast_api *(*get)(void) = (ballast_api *(*)(void))dlsym(library, "GetPjrtApi");
	if (get == NULL || (api = get()) == NULL || api->version.major != 0 || api->struct_size < sizeof(ballast_api)) return 0;
	if (api->call[client_compile] == (void *)cached_compile) return 1;
	for (int i = 0; i < 57; i++)
		if (api->call[i] == NULL && (i == client_compile || i == executable_serialize || i == optimized_program || i == get_executable || i == deserialize_and_load)) return 0;
	size_t page = sysconf(_SC_PAGESIZE);
	uintptr_t at = (uintptr_t)&api->call[client_compile];
	uintptr_t from = at & ~(uintptr_t)(page - 1);
	if (mprotect((void *)from, at + sizeof(void *) - from, PROT_READ | PROT_WRITE) != 0) return 0;
	compile = (void *(*)(compile_args *))api->call[client_compile];
	api->call[client_compile] = (void *)cached_compile;
	return 1;
}
*/
import "C"

import (
	"unsafe"
)

// cachePrograms has a plugin load programs that were compiled before and keep those it compiles, in a folder. It reports
// whether it does.
func cachePrograms(plugin string, c *programCache) bool {
	name := append([]byte(plugin), 0)
	programs.Store(c)
	return C.ballast_cache((*C.char)(unsafe.Pointer(&name[0]))) == 1
}

//export ballastCached
func ballastCached(code *C.char, codeSize C.size_t, options *C.char, optionsSize C.size_t, size *C.size_t) unsafe.Pointer {
	c := programs.Load()
	if c == nil {
		return nil
	}
	data := c.get(c.key(view(code, codeSize), view(options, optionsSize)))
	if data == nil {
		return nil
	}
	room := C.ballast_room(C.size_t(len(data)))
	if room == nil {
		return nil
	}
	*size = C.size_t(len(data))
	copy(unsafe.Slice((*byte)(room), len(data)), data)
	return room
}

//export ballastLoaded
func ballastLoaded() {
	if c := programs.Load(); c != nil {
		c.loaded.Add(1)
	}
}

//export ballastCompiled
func ballastCompiled(code *C.char, codeSize C.size_t, options *C.char, optionsSize C.size_t, data *C.char, size C.size_t) {
	c := programs.Load()
	if c == nil {
		return
	}
	c.compiled.Add(1)
	if data != nil {
		c.put(c.key(view(code, codeSize), view(options, optionsSize)), view(data, size))
	}
}

func view(p *C.char, n C.size_t) []byte {
	if p == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n))
}
