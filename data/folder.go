package data

import (
	"cmp"
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

// OpenFolder opens a folder of PNG and JPEG images in one sub-folder per class: classes are the sub-folders in alphabetical
// order, those that are numbers by their size, examples the files in it. If there are the sub-folders train and test, or val, or all
// three, and no others, with the classes in them, they are the parts: where there is no test, val is it. Classes are those of all parts
// together, and one may have no images in a part. Otherwise every part is the whole and Info().Part is empty.
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

// partNames are the names that folders of parts go by.
var partNames = map[string]string{"train": "train", "test": "test", "val": Val, "valid": Val, "validation": Val}

// Val is the part of a folder that is kept aside beside train and test; the sets that go by a name have none.
const Val = "val"

// choose goes into the sub-folder of a part, if the folder has parts. The classes are those of all parts.
func (f *folder) choose(part string) error {
	names, err := subfolders(f.path)
	if err != nil {
		return &fault.Input{File: f.path, Err: untrusted.Reason(err), Fix: "give a folder with one sub-folder of images per class"}
	}
	folders, classes, err := f.parts(names)
	if err != nil {
		return err
	}
	if folders == nil {
		if part == Val {
			return &fault.Usage{Err: fmt.Errorf("data: dir:%s has no part val; use train, test or all", f.path)}
		}
		return nil
	}

	if part == "all" {
		return &fault.Usage{Err: fmt.Errorf("data: dir:%s has the parts %s; use one of them", f.path, strings.Join(slices.Sorted(maps.Keys(folders)), " and "))}
	}
	name, ok := folders[part]
	if part == "test" && !ok {
		name, ok = folders[Val], true
	}
	if !ok {
		return &fault.Usage{Err: fmt.Errorf("data: dir:%s has no part %s; it has %s", f.path, part, strings.Join(slices.Sorted(maps.Keys(folders)), " and "))}
	}
	f.part, f.root, f.classes = part, filepath.Join(f.path, name), classes
	return nil
}

// parts are the folders of a folder's parts, and the classes of all of them; nil where it has none.
func (f *folder) parts(names []string) (folders map[string]string, classes []string, err error) {
	found := map[string]string{}
	for _, name := range names {
		part, ok := partNames[strings.ToLower(name)]
		if !ok || found[part] != "" {
			return nil, nil, nil
		}
		found[part] = name
	}
	if found["train"] == "" || len(found) < 2 {
		return nil, nil, nil
	}
	for _, name := range found {
		path := filepath.Join(f.path, name)
		inside, err := subfolders(path)
		if err != nil {
			return nil, nil, &fault.Input{File: path, Err: untrusted.Reason(err)}
		}
		classes = append(classes, inside...)
	}
	if len(classes) == 0 {
		return nil, nil, nil // the classes are called train and test
	}
	slices.Sort(classes)
	classes = slices.Compact(classes)
	natural(classes)
	for _, class := range classes {
		if err := f.some(found, class); err != nil {
			return nil, nil, err
		}
	}
	return found, classes, nil
}

// some refuses a class that has no image in any part.
func (f *folder) some(parts map[string]string, class string) error {
	for _, name := range parts {
		files, err := images(filepath.Join(f.path, name, class))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if len(files) > 0 {
			return nil
		}
	}
	dir := filepath.Join(f.path, parts["train"], class)
	return &fault.Input{File: dir, Err: errors.New("no PNG or JPEG image in it, nor in the other parts"), Fix: "add some, or remove the folders of the class"}
}

// subfolders are the names of the folders in a folder, links to folders among them, in alphabetical order; numbers by their size.
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
	natural(names)
	return names, nil
}

// natural puts names that are all whole numbers in their order: 2 before 10. Others stay as they are.
func natural(names []string) {
	digits := func(name string) bool { return name != "" && strings.Trim(name, "0123456789") == "" }
	if slices.ContainsFunc(names, func(name string) bool { return !digits(name) }) {
		return
	}
	slices.SortStableFunc(names, func(a, b string) int {
		x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(a, b))
	})
}

// others are the endings of pictures that are not read.
var others = []string{".bmp", ".gif", ".webp", ".tif", ".tiff", ".heic", ".avif", ".jxl", ".jp2", ".ppm", ".pgm"}

// images are the paths of the images in a folder. A picture of a kind that is not read is refused: without it the class would be another one.
func images(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, &fault.Input{File: dir, Err: untrusted.Reason(err)}
	}
	var files []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		switch ext := strings.ToLower(filepath.Ext(e.Name())); {
		case ext == ".png", ext == ".jpg", ext == ".jpeg":
			files = append(files, filepath.Join(dir, e.Name()))
		case slices.Contains(others, ext):
			return nil, &fault.Input{File: filepath.Join(dir, e.Name()), Err: errors.New("PNG and JPEG are read, and no other pictures"), Fix: "convert it, or move it away"}
		}
	}
	return files, nil
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
	classes, inParts := f.classes, f.classes != nil
	if !inParts {
		var err error
		if classes, err = subfolders(f.root); err != nil {
			return &fault.Input{File: f.root, Err: untrusted.Reason(err), Fix: "give a folder with one sub-folder of images per class"}
		}
	}
	if len(classes) < 2 {
		return &fault.Input{File: f.root, Err: fmt.Errorf("%d sub-folders", len(classes)), Fix: "put the images into one sub-folder per class, at least 2"}
	}
	for label, class := range classes {
		dir := filepath.Join(f.root, class)
		files, err := images(dir)
		switch {
		case inParts && errors.Is(err, fs.ErrNotExist): // the class has its images in another part
		case err != nil:
			return err
		case len(files) == 0 && !inParts:
			return &fault.Input{File: dir, Err: errors.New("no PNG or JPEG image in it"), Fix: f.fixEmpty(dir)}
		}
		f.files = append(f.files, files...)
		f.labels = append(f.labels, slices.Repeat([]int32{int32(label)}, len(files))...)
	}
	if len(f.files) == 0 {
		return &fault.Input{File: f.root, Err: errors.New("no PNG or JPEG image in it"), Fix: "add some, or use another part"}
	}
	if len(f.files) > maxImages {
		return &fault.Input{File: f.root, Err: fmt.Errorf("%d images; at most %d are read", len(f.files), maxImages), Fix: "split the folder"}
	}
	f.classes = classes
	f.checksum = sync.OnceValue(f.hash)
	return nil
}

// fixEmpty is what to do about a class without images: it may have been meant for a part.
func (f *folder) fixEmpty(dir string) string {
	if inside, err := subfolders(dir); err == nil && len(inside) > 0 {
		return "put the images into one sub-folder per class; parts are called train, test and val, and nothing else lies beside them"
	}
	return "add some, or remove the folder"
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
