package corrupt

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// ReadTextures reads the PNG and JPEG pictures of a folder as textures for Frost, in the order of their names.
func ReadTextures(dir string) ([]Texture, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, &fault.Input{File: dir, Err: untrusted.Reason(err), Fix: "give a folder with PNG or JPEG pictures of frost"}
	}
	var textures []Texture
	for _, e := range entries {
		ending := strings.ToLower(filepath.Ext(e.Name()))
		if strings.HasPrefix(e.Name(), ".") || !slices.Contains([]string{".png", ".jpg", ".jpeg"}, ending) {
			continue
		}
		t, err := readTexture(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		textures = append(textures, t)
	}
	if textures == nil {
		return nil, &fault.Input{File: dir, Err: errors.New("no PNG or JPEG picture in it"), Fix: "give a folder with pictures of frost"}
	}
	return textures, nil
}

func readTexture(path string) (Texture, error) {
	img, err := picture.Open(path)
	if err != nil {
		return Texture{}, err
	}
	b := img.Bounds()
	t := Texture{Height: b.Dy(), Width: b.Dx()}
	if err := memory.Need(fmt.Sprintf("the texture %s", path), 12*int64(t.Height)*int64(t.Width)); err != nil {
		return Texture{}, err
	}
	t.Pixels = make([]float32, 0, 3*t.Height*t.Width)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			t.Pixels = append(t.Pixels, bytes32[c.R], bytes32[c.G], bytes32[c.B])
		}
	}
	return t, nil
}

// WithFrost is the table with textures for its frost, which makes it comparable.
func (t Table) WithFrost(textures []Texture) Table {
	t.Shifts = slices.Clone(t.Shifts)
	for i, s := range t.Shifts {
		switch f := s.(type) {
		case Frost:
			f.Textures = textures
			t.Shifts[i] = f
		case Quantized:
			if frost, ok := f.Shift.(Frost); ok {
				frost.Textures = textures
				t.Shifts[i] = Quantized{frost}
			}
		}
	}
	return t
}

// Comparable reports whether numbers on images that a shift made may be held against published ones. Those of a drawn frost may not.
func Comparable(s Shift) bool {
	if q, ok := s.(Quantized); ok {
		s = q.Shift
	}
	f, frost := s.(Frost)
	return !frost || f.Comparable()
}
