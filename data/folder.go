package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/image/draw"

	"github.com/ballast-ml/ballast/fault"
	limits "github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// OpenFolder opens a folder of PNG and JPEG images in one sub-folder a class: classes are the sub-folders in alphabetical
// order, examples the files in it. If there are exactly the sub-folders train and test, each with the classes in it, they are the
// parts; otherwise every part is the whole and Info().Part is empty.
//
// Options follow a question mark: size=HEIGHTxWIDTH resizes every image (bilinear; without it the size of the first image is
// the size of all, and another one is an error), channels=1 makes grey (0.299 R + 0.587 G + 0.114 B), channels=3 colour
// (default: grey if the first image is). Transparent images are put on black; a rotation noted in a JPEG is not applied.
// Images are decoded when they are read. The first Info reads every file once for the checksum.
//
// Class folders and files may be links; what they lead to must be regular files. A picture has at most 134 million pixels (picture.MaxPixels),
// and one that takes far more memory than its file has bytes is refused before it is decoded: see the limits of internal/picture.
func OpenFolder(name, part string) (Dataset, error) {
	path, query, _ := strings.Cut(name, "?")
	f := &folder{path: path, root: path}
	if err := f.configure(name, query); err != nil {
		return nil, err
	}
	if err := f.choose(part); err != nil {
		return nil, err
	}
	if err := f.list(); err != nil {
		return nil, err
	}
	if err := f.measure(); err != nil {
		return nil, err
	}
	return f, nil
}

// configure takes the options.
func (f *folder) configure(name, query string) error {
	options, err := url.ParseQuery(query)
	if err != nil {
		return &fault.Usage{Err: fmt.Errorf("data: dir:%s: options: %w", name, err)}
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		value := options[key][0]
		switch {
		case key == "size":
			height, width, ok := strings.Cut(value, "x")
			f.height, _ = strconv.Atoi(height)
			f.width, _ = strconv.Atoi(width)
			if !ok || f.height < 1 || f.width < 1 || f.height > maxSide || f.width > maxSide {
				return &fault.Usage{Err: fmt.Errorf("data: dir:%s: size is %q; write HEIGHTxWIDTH, such as 32x32", name, value)}
			}
			f.resize = true
		case key == "channels" && (value == "1" || value == "3"):
			f.channels = int(value[0] - '0')
		default:
			return &fault.Usage{Err: fmt.Errorf("data: dir:%s: option %s=%s is unknown; use size=HEIGHTxWIDTH, channels=1 or channels=3", name, key, value)}
		}
	}
	return nil
}

// choose goes into the sub-folder of a part, if the folder has parts. Both parts must have the same classes.
func (f *folder) choose(part string) error {
	names, err := subfolders(f.path)
	if err != nil {
		return &fault.Input{File: f.path, Err: untrusted.Reason(err), Fix: "give a folder with one sub-folder of images a class"}
	}
	if !slices.Equal(names, []string{"test", "train"}) {
		return nil
	}
	train, err := subfolders(filepath.Join(f.path, "train"))
	if err != nil {
		return &fault.Input{File: filepath.Join(f.path, "train"), Err: untrusted.Reason(err)}
	}
	test, err := subfolders(filepath.Join(f.path, "test"))
	if err != nil {
		return &fault.Input{File: filepath.Join(f.path, "test"), Err: untrusted.Reason(err)}
	}
	if len(train)+len(test) == 0 {
		return nil // the classes are called train and test
	}
	if !slices.Equal(train, test) {
		return &fault.Input{File: f.path, Err: fmt.Errorf("train has the classes %q, test %q", train, test), Fix: "give both the same sub-folders"}
	}
	if part == "all" {
		return &fault.Usage{Err: fmt.Errorf("data: dir:%s has the parts train and test; use one of them", f.path)}
	}
	f.part, f.root = part, filepath.Join(f.path, part)
	return nil
}

// subfolders are the names of the folders in a folder, in alphabetical order, links to folders among them.
func subfolders(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if stat, err := os.Stat(filepath.Join(path, e.Name())); err == nil && stat.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

const (
	// maxSide is the largest height or width that images are resized to.
	maxSide = 1 << 14

	// maxImages is the most images of a folder: 33 million, twice those of the largest version of ImageNet.
	maxImages = 1 << 25

	// largePicture is the memory above which pictures are decoded one at a time: 64 MB, so that many readers do not multiply what one
	// picture takes. The photos of most data sets are below it.
	largePicture = 64 << 20
)

// decodingLarge is held while a large picture is in memory. It is of the process, as memory is.
var decodingLarge sync.Mutex

type folder struct {
	path                    string // as given
	part                    string
	root                    string // of the class folders
	classes                 []string
	files                   []string
	labels                  []int32
	height, width, channels int
	resize                  bool

	checksum func() string
}

// list finds the files.
func (f *folder) list() error {
	classes, err := subfolders(f.root)
	if err != nil {
		return &fault.Input{File: f.root, Err: untrusted.Reason(err), Fix: "give a folder with one sub-folder of images a class"}
	}
	if len(classes) < 2 {
		return &fault.Input{File: f.root, Err: fmt.Errorf("%d sub-folders", len(classes)), Fix: "put the images into one sub-folder a class, at least 2"}
	}
	for label, class := range classes {
		dir := filepath.Join(f.root, class)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return &fault.Input{File: dir, Err: untrusted.Reason(err)}
		}
		before := len(f.files)
		for _, e := range entries {
			switch strings.ToLower(filepath.Ext(e.Name())) {
			case ".png", ".jpg", ".jpeg":
				if !strings.HasPrefix(e.Name(), ".") {
					f.files = append(f.files, filepath.Join(dir, e.Name()))
					f.labels = append(f.labels, int32(label))
				}
			}
		}
		if len(f.files) == before {
			return &fault.Input{File: dir, Err: errors.New("no PNG or JPEG image in it"), Fix: "add some, or remove the folder"}
		}
	}
	if len(f.files) > maxImages {
		return &fault.Input{File: f.root, Err: fmt.Errorf("%d images; at most %d are read", len(f.files), maxImages), Fix: "split the folder"}
	}
	f.classes = classes
	f.checksum = sync.OnceValue(f.hash)
	return nil
}

// measure takes size and colour from the first image where they are not given.
func (f *folder) measure() error {
	err := f.decoded(0, func(img image.Image) error {
		if !f.resize {
			f.height, f.width = img.Bounds().Dy(), img.Bounds().Dx()
		}
		if f.channels == 0 {
			f.channels = 3
			if m := img.ColorModel(); m == color.GrayModel || m == color.Gray16Model {
				f.channels = 1
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = untrusted.Bytes("an example of dir:"+f.path, 4, f.height, f.width, f.channels)
	return err
}

// decoded hands over an image. A large one is alone in memory while it is used.
func (f *folder) decoded(i int, use func(image.Image) error) error {
	content, err := picture.Read(f.files[i])
	if err != nil {
		return imageFault(f.files[i], err)
	}
	bytes, err := picture.Cost(f.files[i], content)
	if err != nil {
		return err
	}
	if bytes > largePicture {
		decodingLarge.Lock()
		defer decodingLarge.Unlock()
		// The next one must not be decoded beside what is left of this one. A collection takes far less time than decoding did.
		defer runtime.GC()
	}
	img, _, err := picture.Decode(f.files[i], content)
	if err != nil {
		return err
	}
	return use(img)
}

// imageFault is an error of opening a file of the set, as bad input.
func imageFault(path string, err error) error {
	if failed := new(fs.PathError); errors.As(err, &failed) {
		return &fault.Input{File: path, Err: failed.Err}
	}
	return err
}

func (f *folder) Info() Info {
	return Info{
		Name: "dir:" + f.path, Part: f.part, Examples: len(f.files), Shape: []int{f.height, f.width, f.channels},
		Classes: slices.Clone(f.classes), Origin: f.root, Checksum: f.checksum(), Images: true,
	}
}

func (f *folder) Len() int          { return len(f.files) }
func (f *folder) Label(i int) int32 { return f.labels[i] }

func (f *folder) Read(i int, dst []float32) error {
	return f.decoded(i, func(img image.Image) error {
		b := img.Bounds()
		if b.Dy() == f.height && b.Dx() == f.width {
			values(dst, img, f.channels)
			return nil
		}
		if !f.resize {
			return &fault.Input{
				File: f.files[i], Err: fmt.Errorf("it has %dx%d pixels, the first image %dx%d", b.Dy(), b.Dx(), f.height, f.width),
				Fix: fmt.Sprintf("add ?size=%dx%d to the data set's name to resize all", f.height, f.width),
			}
		}

		// The scaler keeps four float64 for each row of the source and column of the result.
		if err := limits.Need("resizing "+f.files[i], int64(f.width)*(32*int64(b.Dy())+8*int64(f.height))); err != nil {
			return err
		}
		scaled := image.NewRGBA64(image.Rect(0, 0, f.width, f.height))
		draw.BiLinear.Scale(scaled, scaled.Bounds(), img, b, draw.Src, nil)
		values(dst, scaled, f.channels)
		return nil
	})
}

// values writes the pixels of an image.
func values(dst []float32, img image.Image, channels int) {
	bounds := img.Bounds()
	if grey, ok := img.(*image.Gray); ok && channels == 1 {
		for y := range bounds.Dy() {
			for x, v := range grey.Pix[y*grey.Stride : y*grey.Stride+bounds.Dx()] {
				dst[y*bounds.Dx()+x] = float32(v) / 255
			}
		}
		return
	}
	if deep, ok := img.(*image.RGBA64); ok {
		deepValues(dst, deep.Pix, channels)
		return
	}

	// A strip at a time: a copy of the whole at 8 bytes a pixel would be larger than the image.
	rows := min(max(stripPixels/bounds.Dx(), 1), bounds.Dy())
	deep := image.NewRGBA64(image.Rect(0, 0, bounds.Dx(), rows))
	for y := 0; y < bounds.Dy(); y += rows {
		n := min(rows, bounds.Dy()-y)
		draw.Draw(deep, image.Rect(0, 0, bounds.Dx(), n), img, bounds.Min.Add(image.Pt(0, y)), draw.Src)
		size := n * bounds.Dx()
		deepValues(dst[y*bounds.Dx()*channels:], deep.Pix[:8*size], channels)
	}
}

// stripPixels is about how many pixels are converted at once.
const stripPixels = 1 << 16

// deepValues writes pixels of four big-endian uint16.
func deepValues(dst []float32, p []byte, channels int) {
	for k := 0; len(p) > 0; p = p[8:] {
		r, g, b := uint32(p[0])<<8|uint32(p[1]), uint32(p[2])<<8|uint32(p[3]), uint32(p[4])<<8|uint32(p[5])
		if channels == 1 {
			dst[k] = float32((19595*r+38470*g+7471*b+1<<15)>>16) / 65535 // as color.Gray16Model
			k++
			continue
		}
		dst[k], dst[k+1], dst[k+2] = float32(r)/65535, float32(g)/65535, float32(b)/65535
		k += 3
	}
}

// hash is the SHA-256 over the options, and each file's name and SHA-256. A file that cannot be read counts as such: reading
// the example says what is wrong with it.
func (f *folder) hash() string {
	sums := make([]string, len(f.files))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				if err := hashFile(&sums[i], f.files[i]); err != nil {
					sums[i] = "unreadable"
				}
			}
		})
	}
	for i := range f.files {
		next <- i
	}
	close(next)
	workers.Wait()
	h := sha256.New()
	fmt.Fprintf(h, "%dx%dx%d\n", f.height, f.width, f.channels)
	for i, file := range f.files {
		fmt.Fprintf(h, "%q %q %s\n", f.classes[f.labels[i]], filepath.Base(file), sums[i])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashFile(sum *string, path string) error {
	file, err := untrusted.Open(path)
	if err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return errors.Join(err, file.Close())
	}
	*sum = hex.EncodeToString(h.Sum(nil))
	return file.Close()
}
