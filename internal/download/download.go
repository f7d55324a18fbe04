// Package download fetches files over HTTP and HTTPS from servers that may be slow, broken or hostile: every download has a limit on
// its bytes, on the time without bytes and on the total time, and addresses with other schemes are refused. Addresses are
// shown without credentials.
package download

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
)

// The limits of a download.
const (
	// Stall is how long a server may send less than stallBytes. It begins with the request, so it bounds connecting too.
	Stall      = 30 * time.Second
	stallBytes = 1 << 10 // 34 bytes a second: slower than any line, faster than a server that keeps a client waiting on purpose

	// Slowest is the fewest bytes a second, over the whole download, that are waited for: a quarter of a megabit.
	Slowest = 32 << 10

	// Begin is the time that every download has besides: for finding the server and following its redirects.
	Begin = time.Minute

	// IndexLimit is the most bytes of an index's page of a project. Those that Ballast asks for have less than 200 kB.
	IndexLimit = 4 << 20

	headerLimit  = 256 << 10 // bytes of an answer's header
	maxRedirects = 5

	tries = 3
	pause = 500 * time.Millisecond // before the second try, twice as long before the third
)

// Timing replaces the limits on time; the zero value is Stall and TimeFor the size.
type Timing struct{ Stall, Whole time.Duration }

// TimeFor is the whole time that a download of a size may take.
func TimeFor(bytes int64) time.Duration { return Begin + time.Duration(bytes/Slowest)*time.Second }

// Fetch is one file to fetch.
type Fetch struct {
	Address  string
	Limit    int64                   // most bytes
	Exact    bool                    // Limit is the size
	Progress func(done, total int64) // of the bytes that arrived; total is 0 when the server does not say; may be nil
	Timing   Timing
}

// Refused says why an address is not followed or an answer not taken. Trying again does not help.
type Refused struct{ Address, Text string } // without credentials

func (e *Refused) Error() string { return e.Address + ": " + e.Text }

// Status is an answer other than the file.
type Status struct {
	Address string // without credentials
	Code    int
}

func (e *Status) Error() string {
	return fmt.Sprintf("%s: the server says %d %s", e.Address, e.Code, http.StatusText(e.Code))
}

// client asks for bytes as they are: nothing is decompressed behind our back.
var client = &http.Client{Transport: transport(), CheckRedirect: redirect}

func transport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport // a program that uses this package as a library has put another there
	}
	t = t.Clone()
	t.DisableCompression = true
	t.MaxResponseHeaderBytes = headerLimit
	return t
}

// redirect holds every redirect against the first address. Credentials stay with their host, as net/http has it; where the redirect comes
// from is not told to the next host, since it may hold a token.
func redirect(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	next.Header.Del("Referer")
	if len(via) > maxRedirects {
		return &Refused{shown(first), fmt.Sprintf("more than %d redirects", maxRedirects)}
	}
	if err := follow(first, next.URL); err != nil {
		return &Refused{shown(first), "it leads to an address that is not followed: " + err.Error()}
	}
	if next.URL.Host != first.Host {
		next.URL.User = nil
	}
	return nil
}

// follow says why an address that another one leads to is not followed.
func follow(from, to *url.URL) error {
	if err := usable(to); err != nil {
		return err
	}
	if from.Scheme == "https" && to.Scheme != "https" {
		return errors.New("it is not https, as the first one is")
	}
	return nil
}

// usable says why an address cannot be fetched. It does not repeat the address, which may hold a password anywhere if it is
// written wrongly.
func usable(u *url.URL) error {
	switch {
	case u.Scheme == "file":
		return errors.New("file: addresses are not followed")
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("only http: and https: addresses are followed")
	case u.Host == "":
		return errors.New("it names no host")
	}
	return nil
}

// Check says why an address, of a mirror, cannot be fetched from. The error does not repeat it.
func Check(address string) error {
	_, err := parse(address)
	return err
}

func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil { // its text repeats parts of the address
		return nil, &Refused{"the address", "it is not written as an address is, such as https://host/path"}
	}
	if err := usable(u); err != nil {
		return nil, &Refused{shown(u), err.Error()}
	}
	return u, nil
}

// Link is the address that a page's link leads to. Links to other schemes are refused, and from https to http. Credentials of the page's
// address stay with it on the same host, and go nowhere else.
func Link(page, link string) (string, error) {
	base, err := parse(page)
	if err != nil {
		return "", err
	}
	to, err := base.Parse(link)
	if err != nil {
		return "", &Refused{shown(base), "a link on it is not written as an address is"}
	}
	if err := follow(base, to); err != nil {
		return "", &Refused{shown(base), "a link on it is not followed: " + err.Error()}
	}
	if to.User = nil; to.Host == base.Host {
		to.User = base.User
	}
	to.Fragment = ""
	return to.String(), nil
}

// Redacted is an address as it may be shown: without user, password, query and fragment.
func Redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the address"
	}
	return shown(u)
}

func shown(u *url.URL) string {
	const hidden = "xxxxx"
	v := *u
	if v.Fragment, v.RawFragment = "", ""; v.User != nil {
		v.User = url.User(hidden)
	}
	if v.RawQuery != "" {
		v.RawQuery = hidden
	}
	if v.Opaque != "" || v.Host == "" && v.Scheme == "" && strings.Contains(v.Path, "@") { // user:password@host, without a scheme
		return hidden
	}
	return printable.Line(v.String())
}

// To copies the file to w, and returns how many bytes of it there were. More than the limit is an error as soon as it is seen.
func (f Fetch) To(ctx context.Context, w io.Writer) (n int64, err error) {
	u, err := parse(f.Address)
	if err != nil {
		return 0, err
	}
	stall, whole := f.Timing.Stall, f.Timing.Whole
	if stall == 0 {
		stall = Stall
	}
	if whole == 0 {
		whole = TimeFor(f.Limit)
	}
	ctx, cancelWhole := context.WithTimeoutCause(ctx, whole, fmt.Errorf("%s: not finished after %v", shown(u), whole))
	defer cancelWhole()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("%s: fewer than %d bytes in %v", shown(u), stallBytes, stall)) })
	defer timer.Stop()

	n, err = f.receive(ctx, u, w, func() { timer.Reset(stall) })
	if err != nil && ctx.Err() != nil {
		return n, context.Cause(ctx)
	}
	return n, err
}

// receive asks for the file. alive is called when enough of it has arrived.
func (f Fetch) receive(ctx context.Context, u *url.URL, w io.Writer, alive func()) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, &Refused{shown(u), "it cannot be asked for"}
	}
	request.Header.Set("Accept-Encoding", "identity")
	response, err := client.Do(request)
	if err != nil {
		return 0, failure(u, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	alive()
	if response.StatusCode != http.StatusOK {
		return 0, &Status{shown(u), response.StatusCode}
	}

	total := max(response.ContentLength, 0)
	// One byte more than the limit shows that there is more.
	arriving := &counted{r: io.LimitReader(response.Body, f.Limit+1), total: total, tell: f.Progress, alive: alive}
	var body io.Reader = arriving
	switch encoding := strings.ToLower(response.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		if total > f.Limit {
			return 0, f.tooLarge(u, total)
		}
	case "gzip", "x-gzip": // not asked for; what it expands to has the same limit
		arriving.total = 0
		plain, err := gzip.NewReader(arriving)
		if err != nil {
			return 0, &Refused{shown(u), "its answer says that it is gzip and is not"}
		}
		body = io.LimitReader(plain, f.Limit+1)
	default:
		return 0, &Refused{shown(u), fmt.Sprintf("its answer is encoded as %q, which was not asked for", printable.Line(cut(encoding)))}
	}
	n, err := io.Copy(w, body)
	switch {
	case n > f.Limit, arriving.done > f.Limit:
		return n, f.tooLarge(u, max(n, arriving.done))
	case err != nil:
		return n, fmt.Errorf("%s: want %d bytes, got %d: %w", shown(u), max(total, 0), n, err)
	case f.Exact && n != f.Limit:
		return n, fmt.Errorf("%s: want %d bytes, got %d", shown(u), f.Limit, n)
	}
	return n, nil
}

func (f Fetch) tooLarge(u *url.URL, n int64) error {
	if f.Exact {
		return &Refused{shown(u), fmt.Sprintf("want %d bytes, got %d", f.Limit, n)}
	}
	return &Refused{shown(u), fmt.Sprintf("its answer has more than %s", memory.Size(f.Limit))}
}

// failure is an error of the HTTP client, which repeats the addresses of redirects, credentials and all, without them.
func failure(u *url.URL, err error) error {
	var refused *Refused
	if errors.As(err, &refused) {
		return refused
	}
	if outer := new(url.Error); errors.As(err, &outer) {
		err = outer.Err
	}
	if text := err.Error(); strings.Contains(text, "://") { // an address that the server sent
		return &Refused{shown(u), "its answer redirects to something that is not an address"}
	}
	return fmt.Errorf("%s: %w", shown(u), err)
}

func cut(text string) string {
	const most = 40
	if len(text) > most {
		return text[:most]
	}
	return text
}

// counted counts bytes as they arrive.
type counted struct {
	r           io.Reader
	done, total int64
	since       int64 // bytes since alive was called
	tell        func(done, total int64)
	alive       func()
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	if c.since += int64(n); c.since >= stallBytes {
		c.since = 0
		c.alive()
	}
	if c.tell != nil {
		c.tell(c.done, c.total)
	}
	return n, err
}

// Again tries what may fail for the moment up to three times, all together within a time. What was refused, and what is not there, is not
// tried again.
func Again(ctx context.Context, whole time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, whole, fmt.Errorf("the download has not finished after %v", whole))
	defer cancel()
	var err error
	for n := range tries {
		if n > 0 {
			select {
			case <-time.After(pause << (n - 1)):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err = try(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if refused := new(Refused); errors.As(err, &refused) {
			return err
		}
		if status := new(Status); errors.As(err, &status) && status.Code < 500 && status.Code != http.StatusTooManyRequests {
			return err
		}
	}
	return err
}

// Stoppable is a reader of r that fails when its context ends, so that unpacking can be stopped.
func Stoppable(ctx context.Context, r io.Reader) io.Reader { return stoppable{ctx, r} }

type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}
