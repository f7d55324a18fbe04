package picture_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/ballast-ml/ballast/internal/picture"
)

// Pictures of one pixel as WebP, with losses and without.
const (
	lossy    = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"
	lossless = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="
)

func fromBase64(t testing.TB, text string) []byte {
	t.Helper()
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// webPOf says that the file has another length, chunkOf that its one chunk has.
func webPOf(t *testing.T, length uint32, text string) []byte {
	content := fromBase64(t, text)
	binary.LittleEndian.PutUint32(content[4:], length)
	return content
}

func chunkOf(t *testing.T, length uint32, text string) []byte {
	content := fromBase64(t, text)
	binary.LittleEndian.PutUint32(content[16:], length)
	return content
}

// TestKinds decodes every format, and a GIF whose first frame leaves a part of its screen empty.
func TestKinds(t *testing.T) {
	photo := noisy(37, 21)
	palette := color.Palette{color.Black, color.White}
	whole, part := image.NewPaletted(photo.Rect, palette), image.NewPaletted(image.Rect(30, 10, 32, 12), palette)
	for i := range part.Pix {
		part.Pix[i] = 1
	}
	films := gif.GIF{Image: []*image.Paletted{part, whole}, Delay: []int{1, 1}, Config: image.Config{Width: 37, Height: 21}}
	cmyk := image.NewCMYK(photo.Rect)
	for name, content := range map[string][]byte{
		"gif":                  encoded(t, func(b *bytes.Buffer) error { return gif.Encode(b, whole, nil) }),
		"gif of a small frame": encoded(t, func(b *bytes.Buffer) error { return gif.EncodeAll(b, &films) }),
		"bmp":                  encoded(t, func(b *bytes.Buffer) error { return bmp.Encode(b, photo) }),
		"bmp of a palette":     encoded(t, func(b *bytes.Buffer) error { return bmp.Encode(b, whole) }),
		"tiff":                 encoded(t, func(b *bytes.Buffer) error { return tiff.Encode(b, photo, nil) }),
		"tiff, deflated":       encoded(t, func(b *bytes.Buffer) error { return tiff.Encode(b, photo, &tiff.Options{Compression: tiff.Deflate}) }),
		"jpeg of cmyk":         encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, cmyk, nil) }),
	} {
		img, _, err := picture.Decode(name, content)
		if err != nil || img.Bounds() != photo.Rect {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name != "gif of a small frame" {
			continue
		}
		for at, want := range map[image.Point]color.RGBA{{X: 31, Y: 11}: {255, 255, 255, 255}, {X: 0, Y: 0}: {}} {
			if got := color.RGBAModel.Convert(img.At(at.X, at.Y)); got != want {
				t.Errorf("%s: %v at %v, want %v", name, got, at, want)
			}
		}
	}
	for name, text := range map[string]string{"webp": lossy, "lossless webp": lossless} {
		if img, _, err := picture.Decode(name, fromBase64(t, text)); err != nil || img.Bounds() != image.Rect(0, 0, 1, 1) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// withOrientation puts an Exif block into a JPEG, of either order of bytes.
func withOrientation(photo []byte, orientation uint16, order binary.AppendByteOrder) []byte {
	block := []byte("Exif\x00\x00II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		block = []byte("Exif\x00\x00MM\x00*")
	}
	block = order.AppendUint32(block, 8)
	block = order.AppendUint16(block, 1)
	block = order.AppendUint16(block, 274)
	block = order.AppendUint16(block, 3)
	block = order.AppendUint32(block, 1)
	block = order.AppendUint16(block, orientation)
	block = append(block, 0, 0, 0, 0, 0, 0)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(block)+2))
	return append(append(append([]byte{}, photo[:2]...), append(segment, block...)...), photo[2:]...)
}

// TestTurned has a picture with a bright corner, top left, held in every way; the corner then lies where Exif says row 0 and column 0 are.
func TestTurned(t *testing.T) {
	const bright, dark = 200, 50
	grey := image.NewGray(image.Rect(0, 0, 32, 16))
	colour := image.NewRGBA(grey.Rect)
	for y := range 16 {
		for x := range 32 {
			if x < 8 && y < 8 {
				grey.SetGray(x, y, color.Gray{Y: 255})
				colour.Set(x, y, color.White)
			} else {
				colour.Set(x, y, color.Black)
			}
		}
	}
	corners := map[uint16]image.Point{1: {0, 0}, 2: {31, 0}, 3: {31, 15}, 4: {0, 15}, 5: {0, 0}, 6: {15, 0}, 7: {15, 31}, 8: {0, 31}}
	for name, img := range map[string]image.Image{"grey": grey, "colour": colour} {
		photo := encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, img, &jpeg.Options{Quality: 95}) })
		for orientation, corner := range corners {
			for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
				got, _, err := picture.Decode(name, withOrientation(photo, orientation, order))
				if err != nil {
					t.Fatal(err)
				}
				want := image.Rect(0, 0, 32, 16)
				if orientation > 4 {
					want = image.Rect(0, 0, 16, 32)
				}
				level := func(p image.Point) uint8 { return color.GrayModel.Convert(got.At(p.X, p.Y)).(color.Gray).Y }
				other := image.Pt(want.Max.X-1-corner.X, want.Max.Y-1-corner.Y)
				if got.Bounds() != want || level(corner) < bright || level(other) > dark {
					t.Errorf("%s %d %v: bounds %v, %d at %v, %d at %v", name, orientation, order, got.Bounds(), level(corner), corner, level(other), other)
				}
			}
		}
	}
	photo := encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, grey, nil) })
	for _, orientation := range []uint16{0, 9, 65535} {
		if img, _, err := picture.Decode("odd", withOrientation(photo, orientation, binary.LittleEndian)); err != nil || img.Bounds() != grey.Rect {
			t.Errorf("%d: %v", orientation, err)
		}
	}
}

// TestList has files of all kinds, hidden ones, links and folders in folders.
func TestList(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{"b.PNG", "a.jpeg", "notes.txt", ".hidden.png", ".git/x.png", "10/x.webp", "9/x.tif", "9/deep/er/y.gif", "9/Thumbs.db"} {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("..", filepath.Join(root, "9", "up")); err != nil {
		t.Fatal(err)
	}
	found, err := picture.List(root)
	if want := "[a.jpeg b.PNG 9/x.tif 9/deep/er/y.gif 10/x.webp]"; err != nil || fmt.Sprint(found.Files) != want {
		t.Errorf("got %v, %v, want %s", found.Files, err, want)
	}
	if want := "2 hidden files, 2 files that are not pictures, 1 link to a folder"; found.Skipped() != want {
		t.Errorf("got %q", found.Skipped())
	}
}

// FuzzDecode wants an error or a picture of its size of every content, and no more memory than the limits allow.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{lossy, lossless} {
		f.Add(fromBase64(f, text))
	}
	small := image.NewPaletted(image.Rect(0, 0, 5, 3), color.Palette{color.Black, color.White})
	for _, encode := range []func(*bytes.Buffer) error{
		func(b *bytes.Buffer) error { return gif.Encode(b, small, nil) }, func(b *bytes.Buffer) error { return bmp.Encode(b, small) },
		func(b *bytes.Buffer) error { return tiff.Encode(b, small, &tiff.Options{Compression: tiff.Deflate}) }, func(b *bytes.Buffer) error { return jpeg.Encode(b, small, nil) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if cost, err := picture.Cost("x", content); err != nil || cost > 16<<20 {
			return
		}
		if img, _, err := picture.Decode("x", content); err == nil && img.Bounds().Empty() {
			t.Error("a picture without pixels")
		}
	})
}
