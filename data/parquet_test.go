package data_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
)

// tables are small files that pyarrow has written; bench/peers/parquet_files.py makes them.
func tables(name string) string { return filepath.Join("testdata", "parquet", name) }

// rows are the labels and shades of 12 pictures, whose shade is their row and whose class is the row's rest by three.
func rows(from, to int) string {
	var text []string
	for i := from; i < to; i++ {
		text = append(text, fmt.Sprintf("%d:%d", i%3, i))
	}
	return strings.Join(text, " ")
}

// TestParquetPictures reads pictures in a struct or as bytes, in parts, of every codec and version of pages.
func TestParquetPictures(t *testing.T) {
	for name, c := range map[string]struct{ part, want string }{
		"test-00000-of-00001.parquet":           {"all", rows(0, 12)},
		"t*.parquet":                            {"train", rows(0, 12)},
		"train-{00000..00001}-of-00002.parquet": {"test", rows(0, 12)}, // of one part alone, which is the whole
		"train-00001-of-00002.parquet":          {"test", rows(6, 12)},
	} {
		for _, prefix := range []string{"", "parquet:"} {
			ds, err := data.Open(prefix+tables(name), c.part)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := firsts(t, ds); got != c.want {
				t.Errorf("%s: got %s, want %s", name, got, c.want)
			}
			if info := ds.Info(); fmt.Sprint(info.Classes, info.Shape) != "[cat dog owl] [3 4 1]" || len(info.Checksum) != 64 {
				t.Errorf("%s: %+v", name, info)
			}
		}
	}
	for _, codec := range []string{"none", "snappy", "gzip", "zstd"} {
		for _, version := range []string{"1", "2"} {
			ds, err := data.Open(tables(codec+"-"+version+".parquet"), "all")
			if err != nil {
				t.Errorf("%s %s: %v", codec, version, err)
				continue
			}
			if got := firsts(t, ds); got != rows(0, 12) || fmt.Sprint(ds.Info().Classes) != "[cat dog owl]" {
				t.Errorf("%s %s: got %s", codec, version, got)
			}
		}
	}
	ds, err := data.Open(tables("t*.parquet"), "train")
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{"format": "Parquet: 2 files, 12 rows, labels of the column label, pictures of the column image", "classes": "3: cat, dog, owl"} {
		if got := noted(ds, what); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}

	// In any order, by many at once.
	var wait sync.WaitGroup
	for k := range 8 {
		wait.Go(func() {
			row := make([]float32, 12)
			for i := range 36 {
				at := (i*7 + k*5) % 12
				if err := ds.Read(at, row); err != nil || math.Round(float64(row[0])*255) != float64(at) {
					t.Errorf("row %d has %v, %v", at, row[0]*255, err)
				}
			}
		})
	}
	wait.Wait()
}

// TestParquetFeatures reads columns of numbers.
func TestParquetFeatures(t *testing.T) {
	ds, err := data.Open(tables("features.parquet"), "all")
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, 5)
	if err := ds.Read(5, row); err != nil || fmt.Sprint(row) != "[2.5 15 5000 0 1.0995116e+12]" || ds.Label(5) != 1 || ds.Info().Images {
		t.Errorf("%v, %v", row, err)
	}
	if got, want := noted(ds, "layout"), "5 features: a, b, c, flag, big"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if ds, err = data.Open(tables("features.parquet")+"?label=flag", "all"); err != nil || ds.Label(0) != 1 || ds.Info().Shape[0] != 5 {
		t.Errorf("another label: %v", err)
	}
}

// TestParquetRefuses has tables that are not understood, and rows without a picture.
func TestParquetRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"features.parquet?label=name":          "column name, row 1: it has no label",
		"features.parquet?label=list":          "column list: it holds lists",
		"features.parquet?label=none":          `has no column "none"; it has a, b, c, flag, big, ...`,
		"features.parquet?label=c":             "column c: its values are of another kind",
		"lz4-1.parquet":                        "it is compressed by LZ4_RAW; write it with snappy, gzip, zstd, or none",
		"features.parquet?size=8x8":            "has no pictures",
		"paths.parquet":                        "paths.parquet:row 0: it has no picture; a path alone is not followed; replace or remove it, or leave damaged pictures out",
		"{zstd-1,features}.parquet":            "features.parquet: it has no column jpg, which ",
		"zstd-1.parquet?image=class":           "which of them has the labels is not known",
		"test-00000-of-00001.parquet?colour=1": "option colour=1 is unknown",
	} {
		if _, err := data.Open(tables(name), "all"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if ds, err := data.Open(tables("{paths,test-00000-of-00001}.parquet?damaged=skip"), "all"); err != nil || ds.Len() != 13 {
		t.Errorf("%v", err)
	}
}

// TestParquetDamaged cuts files and changes single bytes: each is an error of the file or reads as some values, and takes little memory.
func TestParquetDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.parquet")
	for _, name := range []string{"test-00000-of-00001.parquet", "zstd-2.parquet", "gzip-1.parquet", "features.parquet"} {
		whole, err := os.ReadFile(tables(name))
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(whole); at += 37 {
			for _, content := range [][]byte{whole[:at], changed(whole, at, 0x55), changed(whole, at, 0xff)} {
				if err := os.WriteFile(path, content, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := readThrough(path); err != nil && !fault.IsInput(err) && !fault.IsExhausted(err) && !strings.Contains(err.Error(), "data: ") {
					t.Fatalf("%s, byte %d: %v", name, at, err)
				}
			}
		}
	}
}

func changed(b []byte, at int, by byte) []byte {
	b = bytes.Clone(b)
	b[at] ^= by
	return b
}

// readThrough reads every example of a file.
func readThrough(path string) error {
	ds, err := data.Open(path, "all")
	if err != nil || ds.Info().Size() > 1<<20 {
		return err
	}
	row := make([]float32, ds.Info().Size())
	for i := range ds.Len() {
		if err := ds.Read(i, row); err != nil {
			return err
		}
	}
	return nil
}

// FuzzParquet wants an error or examples of every file.
func FuzzParquet(f *testing.F) {
	files, err := filepath.Glob(tables("*.parquet"))
	if err != nil || len(files) < 10 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	path := filepath.Join(f.TempDir(), "x.parquet")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		_ = readThrough(path) // an error or examples
	})
}
