package bundle

import (
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

// published is a file of a data.Model that can be made a bundle, and what the file does not say itself.
type published struct {
	model, file string
	name        string // of the bundle and its folder
	manifest    func() Manifest
}

// publishedFiles are the files that become bundles when they are fetched.
var publishedFiles = []published{
	{"digit-nets", "mnist.pth", "mnist", func() Manifest {
		return digits(zoo.NewDigitNet(), "MNIST", Preprocess{Mean: []float64{0.1307}, Std: []float64{0.3081}})
	}},
	{"digit-nets", "usps.pth", "usps", func() Manifest {
		n := zoo.NewDigitNet()
		n.Norm.Layer = norm.NewBatch()
		// USPS digits fill their 16x16 pixels, MNIST's fill the middle 20x20 of 28x28.
		return digits(n, "USPS", Preprocess{Crop: []int{20, 20}, Resize: []int{16, 16}, Mean: []float64{0.2471}, Std: []float64{0.2994}})
	}},
	{"digit-nets", "svhn.pth", "svhn", func() Manifest {
		n := zoo.NewDigitNet()
		n.Filters, n.Depth, n.Dense, n.Norm.Layer = []int{32, 64, 128}, 2, 256, norm.NewBatch()
		return digits(n, "SVHN", Preprocess{
			Resize: []int{32, 32}, Channels: 3, Mean: []float64{0.4377, 0.4438, 0.4728}, Std: []float64{0.1980, 0.2010, 0.1970},
		})
	}},
	{"efficientnet-lite0", "efficientnet-lite0.pth", "imagenet", func() Manifest {
		n := zoo.NewEfficientNetLite()
		// The package has no names of the classes: their numbers are in the usual order of ImageNet.
		m := NewManifest(zoo.Choice{Network: n}, []int{224, 224, 3}, numbers(n.Classes))
		const mean, deviation, white = 127.0, 128.0, 255.0
		m.Preprocess = Preprocess{Mean: slices.Repeat([]float64{mean / white}, 3), Std: slices.Repeat([]float64{deviation / white}, 3)}
		m.Provenance = Provenance{Data: "ImageNet"}
		return m
	}},
}

// digits is the manifest of a classifier of digits that is shown images as large as MNIST's.
func digits(n zoo.DigitNet, trainedOn string, p Preprocess) Manifest {
	m := NewManifest(zoo.Choice{Network: n}, []int{28, 28, 1}, numbers(n.Classes))
	m.Preprocess = p
	m.Provenance = Provenance{Data: trainedOn}
	return m
}

// numbers are names of classes that have none.
func numbers(n int) []string {
	labels := make([]string, n)
	for i := range labels {
		labels[i] = strconv.Itoa(i)
	}
	return labels
}

// ImportPublished makes bundles of a model that "ballast data get" has fetched, each in a folder beside the model's files, and returns
// the folders: none for a model whose files are used as they are.
func ImportPublished(m data.Model) ([]string, error) {
	dir, err := m.Dir()
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, p := range publishedFiles {
		if p.model != m.Name {
			continue
		}
		manifest := p.manifest()
		manifest.Name = m.Name + "/" + p.name
		manifest.Provenance.Created = time.Now().UTC().Truncate(time.Second)
		manifest.Provenance.Versions = Versions()
		manifest.Provenance.Derived = []string{"read from " + p.file + " of " + m.Origin + "; licence: " + m.Licence}
		b, err := Import(filepath.Join(dir, p.file), manifest)
		if err != nil {
			return nil, err
		}
		folder := filepath.Join(dir, p.name)
		if err := b.Replace(folder); err != nil {
			return nil, err
		}
		folders = append(folders, folder)
	}
	return folders, nil
}
