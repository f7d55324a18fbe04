package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	downloadTries = 3
	downloadPause = 500 * time.Millisecond // before the second try, twice as long before the third
	downloadLimit = 256 << 20              // bytes; the largest package has 31 million
	downloadStall = time.Minute            // without a byte, and the try is given up
)

// download fetches a package into memory and has it accepted. What was cut, stalled, refused for the moment or not accepted
// is tried again.
func download(ctx context.Context, address string, progress func(done, total int64), accept func([]byte) error) error {
	return again(ctx, func() error {
		var content bytes.Buffer
		if _, err := fetchTo(ctx, address, &content, 0, progress); err != nil {
			return err
		}
		if err := accept(content.Bytes()); err != nil {
			return fmt.Errorf("%s: %w", redacted(address), err)
		}
		return nil
	})
}

// again tries what may fail for the moment, up to three times.
func again(ctx context.Context, try func() error) error {
	var err error
	for n := range downloadTries {
		if n > 0 {
			select {
			case <-time.After(downloadPause << (n - 1)):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err = try(); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// What is not there will not be there in a second either.
		if refused := new(statusError); errors.As(err, &refused) && refused.code < 500 && refused.code != http.StatusTooManyRequests {
			return err
		}
	}
	return err
}

// fetchTo copies what is at an address, of at most limit bytes (0 = what no package exceeds) and one more.
func fetchTo(ctx context.Context, address string, to io.Writer, limit int64, progress func(done, total int64)) (int64, error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, err
	}
	if limit == 0 {
		limit = downloadLimit
	}
	if u.Scheme == "file" { // a mirror may be a folder
		file, err := os.Open(filepath.FromSlash(u.Path))
		if err != nil {
			return 0, err
		}
		n, err := io.Copy(to, io.LimitReader(file, limit+1))
		return n, errors.Join(err, file.Close())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(downloadStall, func() { cancel(fmt.Errorf("%s: no byte in %v", u.Redacted(), downloadStall)) })
	defer stall.Stop()
	n, err := receive(ctx, u, to, limit, func(done, total int64) {
		stall.Reset(downloadStall)
		if progress != nil {
			progress(done, total)
		}
	})
	if err != nil && ctx.Err() != nil {
		return n, context.Cause(ctx)
	}
	return n, err
}

func receive(ctx context.Context, u *url.URL, to io.Writer, limit int64, progress func(done, total int64)) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, &statusError{u.Redacted(), response.StatusCode}
	}
	total := max(response.ContentLength, 0)
	n, err := io.Copy(to, &counted{r: io.LimitReader(response.Body, limit+1), total: total, tell: progress})
	if err != nil {
		return n, fmt.Errorf("%s: want %d bytes, got %d: %w", u.Redacted(), total, n, err)
	}
	return n, nil
}

// statusError is an answer other than the file.
type statusError struct {
	address string
	code    int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: the server says %d %s", e.address, e.code, http.StatusText(e.code))
}

type counted struct {
	r           io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	c.tell(c.done, c.total)
	return n, err
}
