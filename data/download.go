package data

import (
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
	var err error
	for try := range downloadTries {
		if try > 0 {
			select {
			case <-time.After(downloadPause << (try - 1)):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		var content []byte
		if content, err = fetch(ctx, address, progress); err == nil {
			if err = accept(content); err == nil {
				return nil
			}
			err = fmt.Errorf("%s: %w", redacted(address), err)
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

func fetch(ctx context.Context, address string, progress func(done, total int64)) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" { // GOPROXY may be a folder
		return os.ReadFile(filepath.FromSlash(u.Path))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(downloadStall, func() { cancel(fmt.Errorf("%s: no byte in %v", u.Redacted(), downloadStall)) })
	defer stall.Stop()
	content, err := receive(ctx, u, func(done, total int64) {
		stall.Reset(downloadStall)
		if progress != nil {
			progress(done, total)
		}
	})
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return content, err
}

func receive(ctx context.Context, u *url.URL, progress func(done, total int64)) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, &statusError{u.Redacted(), response.StatusCode}
	}
	total := max(response.ContentLength, 0)
	content, err := io.ReadAll(&counted{r: io.LimitReader(response.Body, downloadLimit), total: total, tell: progress})
	if err != nil {
		return nil, fmt.Errorf("%s: want %d bytes, got %d: %w", u.Redacted(), total, len(content), err)
	}
	return content, nil
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
