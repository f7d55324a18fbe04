package data

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync"
)

//go:embed optdigits/digits.csv.gz
var optdigitsGZ []byte

const (
	optdigitsSHA256 = "46abec6b12486ad9e51943373abcf22bbea1b5a51a1619b361570d8893f1464a"
	optdigitsRows   = 1797
	optdigitsTrain  = 1280
)

// optdigitsChecksums are Info.Checksum of the parts.
var optdigitsChecksums = map[string]string{
	"train": "d26b6a2582b6978b383c587d9ddaa994d9e36c3ea13815dfc1b3803f10a2039b",
	"test":  "d848a8f19e6e19832f9fb085e42bea766455e7527e37db8160b28e034672ceb6",
	"all":   "ec25a94ab4086045c67264e2709d8de6425be4a20a1d6e572515563cb3d086d2",
}

var digitNames = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

var optdigitsInfo = Info{
	Name: "optdigits", Examples: optdigitsRows, Shape: []int{8, 8, 1}, Classes: digitNames, Images: true,
	Origin:  "UCI Optical Recognition of Handwritten Digits (Alpaydin, Kaynak, 1998), test part, as shipped by scikit-learn 1.2.1",
	Licence: "CC BY 4.0 (data), BSD-3-Clause (scikit-learn)",
}

// optdigitsAll decodes the embedded set once. A pixel counts dark pixels, 0 to 16; its value is pixel/16.
var optdigitsAll = sync.OnceValues(func() (*memory, error) {
	bad := func(err error) (*memory, error) {
		return nil, fmt.Errorf("data: optdigits: the binary is damaged: %w; install it again", err)
	}
	if digest := sha256.Sum256(optdigitsGZ); hex.EncodeToString(digest[:]) != optdigitsSHA256 {
		return bad(fmt.Errorf("SHA-256 is %x, want %s", digest, optdigitsSHA256))
	}
	plain, err := gzip.NewReader(bytes.NewReader(optdigitsGZ))
	if err != nil {
		return bad(err)
	}
	rows, err := csv.NewReader(plain).ReadAll()
	if err != nil {
		return bad(err)
	}
	m := &memory{info: optdigitsInfo, values: fractions(16)}
	m.info.Checksum = optdigitsChecksums["all"]
	for _, row := range rows {
		for i, field := range row {
			v, err := strconv.ParseUint(field, 10, 8)
			if err != nil {
				return bad(err)
			}
			if i == len(row)-1 {
				m.labels = append(m.labels, int32(v))
			} else {
				m.pixels = append(m.pixels, byte(v))
			}
		}
	}
	if len(m.labels) != optdigitsRows || len(m.pixels) != optdigitsRows*64 {
		return bad(fmt.Errorf("got %d rows and %d pixels", len(m.labels), len(m.pixels)))
	}
	return m, nil
})

// openOptdigits returns a part. The set has no split of its own here: a fixed shuffle, Order(1797, 0, 0), puts 1,280 into
// train and 517 into test.
func openOptdigits(part string) (Dataset, error) {
	all, err := optdigitsAll()
	if err != nil {
		return nil, err
	}
	if part == "all" {
		whole := *all
		whole.info.Part = part
		return &whole, nil
	}
	order := Order(optdigitsRows, 0, 0)
	if part == "train" {
		order = order[:optdigitsTrain]
	} else {
		order = order[optdigitsTrain:]
	}
	s := Subset(all, order).(subset)
	s.info.Part, s.info.Checksum = part, optdigitsChecksums[part]
	return s, nil
}
