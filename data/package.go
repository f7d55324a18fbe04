package data

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/ulikunitz/xz"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/download"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// source is a package that carries a data set.
type source interface {
	file() string // its name
	address(mirror string) (string, error)
	size(want map[string]digest) (most int64, exact bool) // of the package
	check(content []byte) error                           // of the package as a whole, where it is the same bytes everywhere
	unpack(ctx context.Context, content []byte, want map[string]digest) (files map[string][]byte, err error)
}

// goModule is a module zip of the Go module proxy. Proxies may compress it as they like, so only the files in it are compared.
type goModule struct{ path, version string }

func (m goModule) file() string { return path.Base(m.folder()) + ".zip" }

func (goModule) check([]byte) error { return nil }

// size is an upper bound: the files are compressed already, and what else is in the module is small.
func (goModule) size(want map[string]digest) (most int64, exact bool) {
	const others, headers = 1 << 20, 1 << 10
	for _, d := range want {
		most += d.size + d.size/50 + headers
	}
	return most + others, false
}

// folder is the folder of all files in the module's zip. In addresses an exclamation mark stands before what is a capital letter.
func (m goModule) folder() string {
	var b strings.Builder
	capital := false
	for _, r := range m.path {
		switch {
		case r == '!':
			capital = true
			continue
		case capital:
			r = unicode.ToUpper(r)
		}
		capital = false
		b.WriteRune(r)
	}
	return b.String() + "@" + m.version
}

func (m goModule) address(mirror string) (string, error) {
	from := "--mirror"
	if mirror == "" {
		var err error
		if mirror, err = goProxy(); err != nil {
			return "", err
		}
		from = "GOPROXY"
	}
	if err := checkMirror(mirror, from); err != nil {
		return "", err
	}
	return strings.TrimSuffix(mirror, "/") + "/" + m.path + "/@v/" + m.version + ".zip", nil
}

// checkMirror refuses the address of a registry that cannot be downloaded from. from says where it stands.
func checkMirror(mirror, from string) error {
	if err := download.Check(mirror); err != nil {
		return &fault.Usage{Err: fmt.Errorf("%s: %w; give an address such as https://host/path, or use --from for what is on this machine", from, err)}
	}
	return nil
}

func (m goModule) unpack(ctx context.Context, content []byte, want map[string]digest) (map[string][]byte, error) {
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, fmt.Errorf("not a whole zip file: %w", err)
	}
	files := map[string][]byte{}
	for _, f := range archive.File {
		name := path.Base(f.Name)
		d, ok := want[name]
		if !ok || !strings.HasPrefix(f.Name, m.folder()+"/") {
			continue
		}
		// Each is unpacked once, and only if its size is right: a small zip can promise terabytes.
		if _, twice := files[name]; twice {
			return nil, fmt.Errorf("%s is in the package twice", name)
		}
		if f.UncompressedSize64 != uint64(d.size) {
			return nil, fmt.Errorf("%s: want %d bytes, got %d", name, d.size, f.UncompressedSize64)
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name], err = io.ReadAll(io.LimitReader(download.Stoppable(ctx, r), d.size+1))
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return files, nil
}

// goProxy is the first module proxy that the environment, or the go command's own settings, name.
func goProxy() (string, error) {
	list, ok := os.LookupEnv("GOPROXY")
	if !ok || list == "" {
		list = goSetting("GOPROXY")
	}
	for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '|' }) {
		switch entry = strings.TrimSpace(entry); entry {
		case "off":
			return "", errors.New("GOPROXY is off; set it to the address of a module proxy, or use --from FILE")
		case "", "direct": // the sources themselves: nothing to download a package from
		default:
			return entry, nil
		}
	}
	return "https://proxy.golang.org", nil
}

// goSetting is what "go env -w" wrote for a variable, "" if nothing.
func goSetting(key string) string {
	file := os.Getenv("GOENV")
	if file == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return ""
		}
		file = filepath.Join(dir, "go", "env")
	}
	const most = 1 << 20
	content, err := untrusted.ReadFile(file, most)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, key+"="); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// debianPackage is a binary package of Debian: an ar archive with a compressed tar archive in it.
type debianPackage struct {
	pool string // path on a mirror
	digest
}

func (p debianPackage) file() string { return path.Base(p.pool) }

func (p debianPackage) size(map[string]digest) (most int64, exact bool) { return p.digest.size, true }

func (p debianPackage) check(content []byte) error { return p.digest.check(content) }

func (p debianPackage) address(mirror string) (string, error) {
	if mirror == "" {
		mirror = "https://deb.debian.org/debian"
	}
	if err := checkMirror(mirror, "--mirror"); err != nil {
		return "", err
	}
	return strings.TrimSuffix(mirror, "/") + "/" + p.pool, nil
}

// unpack is given a package whose checksum was compared. What it expands to is bounded all the same: the files are compressed
// already, and what else is in the package is small.
func (debianPackage) unpack(ctx context.Context, content []byte, want map[string]digest) (map[string][]byte, error) {
	member, err := arMember(content, "data.tar.xz")
	if err != nil {
		return nil, err
	}
	most := int64(16 << 20)
	for _, d := range want {
		most += d.size
	}
	plain, err := xz.NewReader(download.Stoppable(ctx, bytes.NewReader(member)))
	if err != nil {
		return nil, fmt.Errorf("data.tar.xz: %w", err)
	}
	archive := tar.NewReader(io.LimitReader(download.Stoppable(ctx, plain), most))
	files := map[string][]byte{}
	for len(files) < len(want) {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("data.tar.xz: %w", err)
		}
		name := path.Base(header.Name)
		d, ok := want[name]
		if !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		if header.Size != d.size {
			return nil, fmt.Errorf("data.tar.xz: %s: want %d bytes, got %d", name, d.size, header.Size)
		}
		if files[name], err = io.ReadAll(archive); err != nil {
			return nil, fmt.Errorf("data.tar.xz: %s: %w", name, err)
		}
	}
	return files, nil
}

// arMember returns a member of a Unix ar archive: a magic line, then members of a 60-byte header (name in the first 16, size
// in decimal at 48) and their bytes, padded to even length.
func arMember(content []byte, name string) ([]byte, error) {
	const magic, header = "!<arch>\n", 60
	rest, ok := bytes.CutPrefix(content, []byte(magic))
	if !ok {
		return nil, errors.New("not a Debian package")
	}
	for len(rest) >= header {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil || size < 0 || size > len(rest)-header {
			return nil, errors.New("not a whole Debian package")
		}
		body := rest[header : header+size]
		if strings.TrimRight(string(rest[:16]), " /") == name {
			return body, nil
		}
		rest = rest[min(len(rest), header+size+size%2):]
	}
	return nil, fmt.Errorf("no %s in the Debian package", name)
}
