package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/image/draw"

	"github.com/ballast-ml/ballast/fault"
	limits "github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

const (
	// maxSide is the largest height or width that images are resized to.
	maxSide = 1 << 14

	// largePicture is the memory above which pictures are decoded one at a time: 64 MB, so that many readers do not multiply what one
	// picture takes. The photos of most data sets are below it.
	largePicture = 64 << 20
)

// decodingLarge is held while a large picture is in memory. It is of the process, as memory is.
var decodingLarge sync.Mutex

// container holds the encoded pictures of a set: files, the members of archives, the rows of tables.
type container interface {
	Title(i int) string            // what errors call picture i
	Content(i int) ([]byte, error) // its bytes as they were encoded
	Files() []string               // that hold all pictures; nil where each is a file of its own
}

// pictures is a set of pictures, wherever they lie. They are decoded when they are read, so that a set of any size takes the memory of the
// batches that are being read.
type pictures struct {
	pictureOptions
	name, part, origin string

	from    container
	at      []int32  // place in the container of each example; nil = the same
	keys    []string // of each picture within its class, for the checksum; nil = the container has one for all
	labels  []int32
	classes []string
	notes   []Note

	sums     []string // of each picture, where one pass over all has made them
	checksum func() string
}

var (
	_ Varied = (*pictures)(nil)
	_ Noted  = (*pictures)(nil)
)

// ready finishes a set whose pictures are known: damaged ones are left out where that is asked for, and the first says the size.
func (p *pictures) ready(o Opening) error {
	if o.SkipDamaged || p.skipDamaged {
		if err := p.leaveOutDamaged(o); err != nil {
			return err
		}
	} else if o.Progress != nil {
		p.sums = p.sumAll(o.Progress)
	}
	p.checksum = sync.OnceValue(p.hash)
	return p.measure()
}

// place is where example i lies in the container.
func (p *pictures) place(i int) int {
	if p.at == nil {
		return i
	}
	return int(p.at[i])
}

// measure takes size and colour from the first image where they are not given.
func (p *pictures) measure() error {
	err := p.decoded(0, func(img image.Image) error {
		if !p.resize {
			p.height, p.width = img.Bounds().Dy(), img.Bounds().Dx()
		}
		if p.channels == 0 {
			p.channels = 3
			if m := img.ColorModel(); m == color.GrayModel || m == color.Gray16Model {
				p.channels = 1
			}
		}
		b := img.Bounds()
		colours := map[int]string{1: "grey", 3: "colour"}[p.channels]
		said := fmt.Sprintf("the first has %dx%d pixels; %s", b.Dy(), b.Dx(), colours)
		if p.resize {
			said = fmt.Sprintf("all are resized to %dx%d; %s", p.height, p.width, colours)
		}
		p.note("pictures", "%s", said)
		return nil
	})
	if err != nil {
		return err
	}
	_, err = untrusted.Bytes("an example of "+p.name, 4, p.height, p.width, p.channels)
	return err
}

// decoded hands over an image. A large one is alone in memory while it is used.
func (p *pictures) decoded(i int, use func(image.Image) error) error {
	return p.decode(p.place(i), nil, use)
}

// decode is decoded for a place in the container, whose content may be there already.
func (p *pictures) decode(at int, content []byte, use func(image.Image) error) (err error) {
	title := p.from.Title(at)
	if content == nil {
		if content, err = p.from.Content(at); err != nil {
			return p.offer(imageFault(title, err))
		}
	}
	bytes, err := picture.Cost(title, content)
	if err != nil {
		return p.offer(err)
	}
	if bytes > largePicture {
		decodingLarge.Lock()
		defer decodingLarge.Unlock()
		// The next one must not be decoded beside what is left of this one. A collection takes far less time than decoding did.
		defer runtime.GC()
	}
	img, _, err := picture.Decode(title, content)
	if err != nil {
		return p.offer(err)
	}
	return use(img)
}

// offer adds to the error of a picture that damaged ones can be left out.
func (p *pictures) offer(err error) error {
	if bad := new(fault.Input); errors.As(err, &bad) && bad.Fix == picture.Replace {
		return &fault.Input{File: bad.File, Field: bad.Field, Err: bad.Err, Fix: bad.Fix + ", or leave damaged pictures out: --skip-damaged, or ?damaged=skip behind the data's name"}
	}
	return err
}

// imageFault is an error of opening a file of the set, as bad input.
func imageFault(path string, err error) error {
	if failed := new(fs.PathError); errors.As(err, &failed) {
		return &fault.Input{File: path, Err: failed.Err}
	}
	return err
}

// leaveOutDamaged decodes every picture once, and leaves those out that cannot be.
func (p *pictures) leaveOutDamaged(o Opening) error {
	n := len(p.labels)
	bad, sums := make([]bool, n), make([]string, n)
	whole := p.from.Files() != nil
	err := inParallel(n, o.Progress, func(i int) error {
		content, err := p.from.Content(i)
		if err == nil {
			if !whole {
				sum := sha256.Sum256(content)
				sums[i] = hex.EncodeToString(sum[:])
			}
			err = p.decode(i, content, func(image.Image) error { return nil })
		}
		if fault.IsExhausted(err) {
			return err
		}
		bad[i] = err != nil
		return nil
	})
	if err != nil {
		return err
	}

	var names []string
	p.at = []int32{}
	var labels []int32
	for i := range n {
		if bad[i] {
			names = append(names, p.from.Title(i))
			continue
		}
		p.at = append(p.at, int32(i))
		labels = append(labels, p.labels[i])
	}
	if !whole {
		p.sums = sums
	}
	p.labels = labels
	const shown = 5
	switch {
	case len(labels) == 0:
		return &fault.Input{File: p.origin, Err: fmt.Errorf("none of its %d pictures can be decoded", n), Fix: "give a folder of whole pictures: " + picture.Kinds}
	case len(names) > shown:
		p.note("damaged", "%d of %d pictures are left out: %s and %d more", len(names), n, strings.Join(names[:shown], ", "), len(names)-shown)
	case len(names) > 0:
		p.note("damaged", "%d of %d pictures are left out: %s", len(names), n, strings.Join(names, ", "))
	}
	return nil
}

// inParallel calls do for every number below n, on all processors, until one fails.
func inParallel(n int, progress func(done, total int), do func(i int) error) error {
	var (
		next, done atomic.Int64
		workers    sync.WaitGroup
		mu         sync.Mutex // guards failed and calls of progress
		failed     error
	)
	for range min(runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				err := do(i)
				now := int(done.Add(1))
				if err == nil && (progress == nil || now%64 != 0 && now != n) {
					continue
				}
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
					next.Store(int64(n))
				} else if progress != nil {
					progress(now, n)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return failed
}

func (p *pictures) Info() Info {
	return Info{
		Name: p.name, Part: p.part, Examples: len(p.labels), Shape: []int{p.height, p.width, p.channels},
		Classes: slices.Clone(p.classes), Origin: p.origin, Checksum: p.checksum(), Images: true,
	}
}

func (p *pictures) Len() int          { return len(p.labels) }
func (p *pictures) Label(i int) int32 { return p.labels[i] }

// StableIndex is the place among all pictures, damaged ones too.
func (p *pictures) StableIndex(i int) int32 { return int32(p.place(i)) }

func (p *pictures) Read(i int, dst []float32) error {
	return p.decoded(i, func(img image.Image) error {
		b := img.Bounds()
		if b.Dy() == p.height && b.Dx() == p.width {
			values(dst, img, p.channels)
			return nil
		}
		title := p.from.Title(p.place(i))
		if !p.resize {
			return &fault.Input{
				File: title, Err: fmt.Errorf("it has %dx%d pixels, the first image %dx%d", b.Dy(), b.Dx(), p.height, p.width),
				Fix: fmt.Sprintf("add ?size=%dx%d to the data set's name to resize all", p.height, p.width),
			}
		}

		// The scaler keeps four float64 for each row of the source and column of the result.
		if err := limits.Need("resizing "+title, int64(p.width)*(32*int64(b.Dy())+8*int64(p.height))); err != nil {
			return err
		}
		scaled := image.NewRGBA64(image.Rect(0, 0, p.width, p.height))
		draw.BiLinear.Scale(scaled, scaled.Bounds(), img, b, draw.Src, nil)
		values(dst, scaled, p.channels)
		return nil
	})
}

// hash is the SHA-256 over the options, and each picture's name and SHA-256. A file that cannot be read counts as such: reading
// the example says what is wrong with it.
func (p *pictures) hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%dx%dx%d\n", p.height, p.width, p.channels)
	if p.sums == nil {
		p.sums = p.sumAll(nil)
	}
	if p.from.Files() != nil {
		fmt.Fprintf(h, "%q %q %q %q %v\n", p.sums, p.image, p.label, p.classes, p.at)
		return hex.EncodeToString(h.Sum(nil))
	}
	for i, label := range p.labels {
		at := p.place(i)
		fmt.Fprintf(h, "%q %q %s\n", p.classes[label], p.key(at), p.sums[at])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// key is what a picture is called within its class.
func (p *pictures) key(at int) string {
	if p.keys != nil {
		return p.keys[at]
	}
	return path.Base(p.from.Title(at))
}

// sumAll are the sums of all pictures, or of the files that hold them.
func (p *pictures) sumAll(progress func(done, total int)) []string {
	title, n := p.from.Title, len(p.labels)
	if files := p.from.Files(); files != nil {
		title, n = func(i int) string { return files[i] }, len(files)
	} else if p.at != nil {
		n = int(slices.Max(p.at)) + 1
	}
	sums := make([]string, n)
	_ = inParallel(n, progress, func(i int) error { // the function returns no error
		if err := hashFile(&sums[i], title(i)); err != nil {
			sums[i] = "unreadable"
		}
		return nil
	})
	return sums
}
