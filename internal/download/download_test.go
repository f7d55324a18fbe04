package download_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/internal/download"
)

// soon is patience for tests.
var soon = download.Timing{Stall: 200 * time.Millisecond, Whole: 2 * time.Second}

func TestFetch(t *testing.T) {
	body := bytes.Repeat([]byte("ballast "), 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "identity" {
			http.Error(w, "it asks for "+r.Header.Get("Accept-Encoding"), http.StatusBadRequest)
			return
		}
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/whole", http.StatusFound)
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(body)
			_ = z.Close()
		default:
			_, _ = w.Write(body)
		}
	}))
	defer server.Close()
	for _, path := range []string{"/whole", "/moved", "/gzip"} {
		var got bytes.Buffer
		done := int64(0)
		f := download.Fetch{Address: server.URL + path, Limit: int64(len(body)), Exact: true, Progress: func(d, _ int64) { done = d }, Timing: soon}
		if n, err := f.To(t.Context(), &got); err != nil || n != int64(len(body)) || !bytes.Equal(got.Bytes(), body) || done == 0 {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
	}
}

// TestFetchGivesUp has a server of every kind that would take memory, disk or time without end.
func TestFetchGivesUp(t *testing.T) {
	wait := func(r *http.Request) { // as long as the client stays
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	}
	flush := func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for piece := make([]byte, 1<<16); ; {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}, "want 100000 bytes, got 100001"},
		"a length beyond the limit": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000000000000")
			flush(w)
			wait(r)
		}, "want 100000 bytes, got 1000000000000"},
		"shorter": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "short") }, "want 100000 bytes, got 5"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			fmt.Fprint(w, "short")
		}, "want 100000 bytes, got 5: unexpected EOF"},
		"a gzip bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for piece := make([]byte, 1<<20); ; {
				if _, err := z.Write(piece); err != nil {
					return
				}
			}
		}, "want 100000 bytes, got 100001"},
		"gzip that expands to nothing": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for {
				if err := z.Flush(); err != nil {
					return
				}
			}
		}, "want 100000 bytes, got 100001"},
		"no gzip": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "plain text, and more of it")
		}, "says that it is gzip and is not"},
		"another encoding": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "zstd\u202e")
			fmt.Fprint(w, "x")
		}, "encoded as"},
		"nothing": {func(_ http.ResponseWriter, r *http.Request) { wait(r) }, "fewer than 1024 bytes in 200ms"},
		"a byte now and then": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(w, "x")
				flush(w)
				time.Sleep(20 * time.Millisecond)
			}
		}, "fewer than 1024 bytes in 200ms"},
		"slow": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 2048))
				flush(w)
				time.Sleep(100 * time.Millisecond)
			}
		}, "not finished after 1s"},
		"a redirect to a file": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}, "file: addresses are not followed"},
		"a redirect to ftp": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "ftp://example.org/x", http.StatusFound)
		}, "only http: and https:"},
		"a redirect in a loop": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, "more than 5 redirects"},
		"a redirect to what is no address": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://user:secret@exa mple.org:x/")
			w.WriteHeader(http.StatusFound)
		}, "redirects to something that is not an address"},
		"a header without end": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, "header"},
		"an error":             {http.NotFound, "the server says 404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.serve)
			defer server.Close()
			timing := download.Timing{Stall: 200 * time.Millisecond, Whole: time.Second}
			if strings.Contains(c.want, "want 100000 bytes") { // the race detector makes unpacking slow
				timing = download.Timing{Stall: 5 * time.Second, Whole: 10 * time.Second}
			}
			address := strings.Replace(server.URL, "://", "://user:secret@", 1) + "/file?token=secret"
			f := download.Fetch{Address: address, Limit: 100000, Exact: true, Timing: timing}
			start := time.Now()
			n, err := f.To(t.Context(), io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if n > 100001 || time.Since(start) > 5*time.Second {
				t.Errorf("%d bytes in %v", n, time.Since(start))
			}
		})
	}
}

// TestCredentialsStay redirects from one host to another one.
func TestCredentialsStay(t *testing.T) {
	var told atomic.Value
	second := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		told.Store(r.Header.Get("Authorization") + r.Header.Get("Referer"))
	}))
	defer second.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "secret" {
			t.Errorf("the first host got %q %q", user, password)
		}
		http.Redirect(w, r, map[string]string{"/a": "/b", "/b": second.URL}[r.URL.Path], http.StatusFound)
	}))
	defer first.Close()
	f := download.Fetch{Address: strings.Replace(first.URL, "://", "://user:secret@", 1) + "/a?token=1", Limit: 10, Timing: soon}
	if _, err := f.To(t.Context(), io.Discard); err != nil || told.Load() != "" {
		t.Errorf("the second host was told %q, %v", told.Load(), err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"https://host/path": "", "http://host": "", "https://user:secret@host:8080/": "", "": "only http: and https:", "host/path": "only http: and https:",
		"file:///etc/passwd": "file: addresses", "FILE:///etc/passwd": "file: addresses", "ftp://host/": "only http: and https:", "https:///path": "names no host",
		"user:secret@host/path": "only http: and https:", "http://user:sec/ret@host/": "not written as an address is", "https://host:port/": "not written",
		"http://host/\x1b": "not written",
	} {
		err := download.Check(address)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sec")) {
			t.Errorf("%q: got %v, want %q", address, err, want)
		}
	}
	for address, want := range map[string]string{
		"https://user:secret@host/a?token=secret#secret": "https://xxxxx@host/a?xxxxx", "https://secret@host/": "https://xxxxx@host/", "http://user:sec/ret@host/": "the address",
		"user:secret@host": "xxxxx", "secret@host/path": "xxxxx", "https://host/a": "https://host/a",
	} {
		if got := download.Redacted(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
	const page = "https://user:secret@host/simple/p/"
	for link, want := range map[string]string{
		"../../files/a.whl#sha256=0": "https://user:secret@host/files/a.whl", "https://host/a": "https://user:secret@host/a", "https://other/a": "https://other/a",
		"//other/a": "https://other/a", "https://me:too@other/a": "https://other/a",
		"http://host/a": "", "file:///etc/passwd": "", "file://./a": "", "ftp://host/a": "", "javascript:alert(1)": "", "https://host:port/": "",
	} {
		got, err := download.Link(page, link)
		if got != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %q, %v, want %q", link, got, err, want)
		}
	}
	if got, err := download.Link("http://host/simple/", "http://other/a"); got != "http://other/a" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAgain(t *testing.T) {
	count := func(whole time.Duration, fails error) (int, error) {
		n := 0
		err := download.Again(t.Context(), whole, func(ctx context.Context) error { n++; return fails })
		return n, err
	}
	if n, err := count(time.Minute, errors.New("cut")); n != 3 || err == nil {
		t.Errorf("%d tries, %v", n, err)
	}
	for _, refused := range []error{&download.Refused{}, &download.Status{Code: 404}} {
		if n, err := count(time.Minute, fmt.Errorf("x: %w", refused)); n != 1 || err == nil {
			t.Errorf("%d tries, %v", n, err)
		}
	}
	if n, err := count(time.Minute, &download.Status{Code: 503}); n != 3 || err == nil {
		t.Errorf("%d tries, %v", n, err)
	}
	if n, err := count(100*time.Millisecond, errors.New("cut")); n != 1 || err == nil || !strings.Contains(err.Error(), "not finished") {
		t.Errorf("%d tries, %v", n, err)
	}
	if got := download.TimeFor(63 << 20); got < 20*time.Minute || got > time.Hour {
		t.Errorf("63 MB may take %v", got)
	}
}
