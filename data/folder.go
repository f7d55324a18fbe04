package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // registers the decoder
	_ "image/png"  // registers the decoder
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/image/draw"

	"github.com/ballast-ml/ballast/internal/fault"
)

// OpenFolder opens a folder of PNG and JPEG images in one sub-folder a class; classes are the sub-folders in alphabetical
// order, examples the files in it. Options follow a question mark: size=HEIGHTxWIDTH resizes every image (bilinear; without
// it the size of the first image is the size of all, and another one is an error), channels=1 makes grey, channels=3 colour
// (default: grey if the first image is). Images are decoded when they are read.
func OpenFolder(name string) (Dataset, error) {
	path, query, _ := strings.Cut(name, "?")
	options, err := url.ParseQuery(query)
	if err != nil {
		return nil, &fault.Usage{Err: fmt.Errorf("data: dir:%s: options: %w", name, err)}
	}
	f := &folder{path: path}
	for key, values := range options {
		value := values[0]
		switch {
		case key == "size":
			if _, err := fmt.Sscanf(value, "%dx%d", &f.height, &f.width); err != nil || f.height < 1 || f.width < 1 {
				return nil, &fault.Usage{Err: fmt.Errorf("data: dir:%s: size is %q; write HEIGHTxWIDTH, such as 32x32", name, value)}
			}
			f.resize = true
		case key == "channels" && (value == "1" || value == "3"):
			f.channels = int(value[0] - '0')
		default:
			return nil, &fault.Usage{Err: fmt.Errorf("data: dir:%s: option %s=%s is unknown; use size=HEIGHTxWIDTH, channels=1 or channels=3", name, key, value)}
		}
	}
	if err := f.list(); err != nil {
		return nil, err
	}
	if err := f.measure(); err != nil {
		return nil, err
	}
	return f, nil
}

type folder struct {
	path                    string
	classes                 []string
	files                   []string
	labels                  []int32
	height, width, channels int
	resize                  bool

	once     sync.Once
	checksum string
}

// list finds the files.
func (f *folder) list() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return &fault.Input{File: f.path, Err: err, Mend: "give a folder with one sub-folder of images a class"}
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		before := len(f.files)
		images, err := os.ReadDir(filepath.Join(f.path, e.Name()))
		if err != nil {
			return &fault.Input{File: filepath.Join(f.path, e.Name()), Err: err}
		}
		for _, i := range images {
			switch strings.ToLower(filepath.Ext(i.Name())) {
			case ".png", ".jpg", ".jpeg":
				f.files = append(f.files, filepath.Join(f.path, e.Name(), i.Name()))
				f.labels = append(f.labels, int32(len(f.classes)))
			}
		}
		if len(f.files) == before {
			return &fault.Input{File: filepath.Join(f.path, e.Name()), Err: errors.New("no PNG or JPEG image in it"), Mend: "add some, or remove the folder"}
		}
		f.classes = append(f.classes, e.Name())
	}
	if len(f.classes) < 2 {
		return &fault.Input{File: f.path, Err: fmt.Errorf("%d sub-folders with images", len(f.classes)), Mend: "put the images into one sub-folder a class, at least 2"}
	}
	return nil
}

// measure takes size and colour from the first image where they are not given.
func (f *folder) measure() error {
	img, err := decodeImage(f.files[0])
	if err != nil {
		return err
	}
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
}

func (f *folder) Info() Info {
	f.once.Do(func() {
		h := sha256.New()
		for i, file := range f.files {
			relative, err := filepath.Rel(f.path, file)
			if err != nil {
				relative = file
			}
			fmt.Fprintf(h, "%s %d %d\n", filepath.ToSlash(relative), f.labels[i], fileSize(file))
		}
		f.checksum = "files:" + hex.EncodeToString(h.Sum(nil)) // of names and sizes: hashing the contents would read them all
	})
	return Info{
		Name: "dir:" + f.path, Examples: len(f.files), Shape: []int{f.height, f.width, f.channels},
		Classes: slices.Clone(f.classes), Origin: f.path, Checksum: f.checksum, Images: true,
	}
}

func (f *folder) Len() int          { return len(f.files) }
func (f *folder) Label(i int) int32 { return f.labels[i] }

func (f *folder) Read(i int, dst []float32) error {
	img, err := decodeImage(f.files[i])
	if err != nil {
		return err
	}
	if b := img.Bounds(); b.Dy() != f.height || b.Dx() != f.width {
		if !f.resize {
			return &fault.Input{
				File: f.files[i], Err: fmt.Errorf("it has %dx%d pixels, the first image %dx%d", b.Dy(), b.Dx(), f.height, f.width),
				Mend: "add ?size=HEIGHTxWIDTH to the data set's name to resize all",
			}
		}
		scaled := image.NewRGBA64(image.Rect(0, 0, f.width, f.height))
		draw.BiLinear.Scale(scaled, scaled.Bounds(), img, b, draw.Src, nil)
		img = scaled
	}
	origin := img.Bounds().Min
	k := 0
	for y := range f.height {
		for x := range f.width {
			c := img.At(origin.X+x, origin.Y+y)
			if f.channels == 1 {
				dst[k] = float32(color.Gray16Model.Convert(c).(color.Gray16).Y) / 65535
				k++
				continue
			}
			r, g, b, _ := c.RGBA()
			dst[k], dst[k+1], dst[k+2] = float32(r)/65535, float32(g)/65535, float32(b)/65535
			k += 3
		}
	}
	return nil
}

func decodeImage(path string) (image.Image, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, &fault.Input{File: path, Err: err}
	}
	defer file.Close()
	config, _, err := image.DecodeConfig(file)
	if err == nil && config.Width*config.Height > 1<<28 {
		err = fmt.Errorf("%dx%d pixels are too many", config.Height, config.Width)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	var img image.Image
	if err == nil {
		img, _, err = image.Decode(file)
	}
	if err != nil {
		return nil, &fault.Input{File: path, Err: fmt.Errorf("not a readable image: %w", err), Mend: "replace or remove it"}
	}
	return img, nil
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}
