package data

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/ballast-ml/ballast/fault"
	limits "github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/parquetfile"
	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// imageColumns are what the column of pictures is called, in the order in which they are looked for.
var imageColumns = []string{"image", "img", "picture", "photo", "jpg", "png", "webp", "content"}

// moreLabels are columns of labels beyond labelColumns, as published sets have them.
var moreLabels = []string{"fine_label", "coarse_label"}

// parquet opens tables as Hugging Face publishes sets of images: a column of pictures, encoded, either bytes or a struct of bytes and path, and
// a column of labels, whole numbers or names. A table without pictures is features: its other columns of single numbers, in their order.
// Options: image=COLUMN and label=COLUMN, and those of folders.
func (o Opening) parquet(name, part string) (Dataset, error) {
	pattern, query, _ := strings.Cut(name, "?")
	set := formParquet + ":" + pattern
	options, err := parsePictureOptions(set, query, "image", "label")
	if err != nil {
		return nil, err
	}
	paths, err := filesOf(pattern, formParquet)
	if err != nil {
		return nil, err
	}
	paths, found, err := ofPart(set, paths, part)
	if err != nil {
		return nil, err
	}
	t := &parquetTable{paths: paths}
	if err := t.open(options); err != nil {
		return nil, err
	}

	labels, classes, err := t.readLabels()
	if err != nil {
		return nil, err
	}
	if len(classes) < 2 {
		return nil, &fault.Input{File: paths[0], Field: "column " + t.label, Err: fmt.Errorf("all %d labels are %q", len(labels), classes), Fix: "give at least 2 classes, or name another column: ?label=COLUMN"}
	}
	said := fmt.Sprintf("Parquet: %d %s, %d rows, labels of the column %s", len(paths), plural(len(paths), "file", "files"), len(labels), t.label)
	if t.image == "" {
		return t.features(set, found, said, labels, classes, options)
	}
	if err := t.readers(); err != nil {
		return nil, err
	}
	p := &pictures{pictureOptions: options, name: set, part: found, origin: pattern, from: t, labels: labels, classes: classes}
	p.note("format", "%s, pictures of the column %s", said, t.image)
	p.noteClasses()
	return p, p.ready(o)
}

// parquetTable is one table in some files.
type parquetTable struct {
	paths        []string
	files        []*parquetfile.File
	first        []int // row of the table that each file begins with
	image, label string
	pictures     []*parquetfile.Reader // of each file
}

var _ container = (*parquetTable)(nil)

// open opens the files, which stay open for as long as the process lives, and finds the columns.
func (t *parquetTable) open(options pictureOptions) (err error) {
	rows := 0
	for _, path := range t.paths {
		f, err := parquetfile.Open(path)
		if err != nil {
			return err
		}
		t.files, t.first = append(t.files, f), append(t.first, rows)
		if rows += f.Rows(); rows > picture.MaxImages {
			return &fault.Input{File: path, Err: fmt.Errorf("more than %d rows", picture.MaxImages), Fix: "name fewer files"}
		}
	}
	if rows == 0 {
		return &fault.Input{File: t.paths[0], Err: errors.New("it has no rows"), Fix: "give a table with some"}
	}
	if t.image, err = t.find(options.image, imageColumns, isPicture); err != nil {
		return err
	}
	if t.label, err = t.find(options.label, slices.Concat(labelColumns, moreLabels), isLabel); err != nil {
		return err
	}
	if t.label == "" || t.label == t.image {
		return &fault.Input{
			File: t.paths[0], Err: fmt.Errorf("it has the columns %s, and which of them has the labels is not known", few(t.names())),
			Fix: "call it label, or name it: ?label=COLUMN",
		}
	}
	for _, f := range t.files[1:] {
		for _, name := range []string{t.image, t.label} {
			if _, ok := t.column(f, name); name != "" && !ok {
				return &fault.Input{File: f.Path, Err: fmt.Errorf("it has no column %s, which %s has", name, t.paths[0]), Fix: "name files of one table"}
			}
		}
	}
	return nil
}

func isPicture(c parquetfile.Column) bool { return c.Kind == parquetfile.Bytes }

func isLabel(c parquetfile.Column) bool {
	return c.Kind == parquetfile.Bytes || c.Kind == parquetfile.Whole
}

// names are the columns of the table.
func (t *parquetTable) names() []string {
	var names []string
	for _, c := range t.files[0].Columns {
		names = append(names, c.Name)
	}
	return names
}

// column is a column of a name; a picture may be bytes within a struct.
func (t *parquetTable) column(f *parquetfile.File, name string) (parquetfile.Column, bool) {
	if c, ok := f.Find(name); ok {
		return c, true
	}
	return f.Find(name + ".bytes")
}

// find finds a column by the name that was asked for, or the names that it may have.
func (t *parquetTable) find(asked string, known []string, fits func(parquetfile.Column) bool) (string, error) {
	f := t.files[0]
	if asked != "" {
		c, ok := t.column(f, asked)
		switch {
		case !ok && slices.Contains(f.Lists, asked):
			return "", &fault.Input{File: f.Path, Field: "column " + asked, Err: errors.New("it holds lists"), Fix: "name a column of single values"}
		case !ok:
			return "", usage("data: %s has no column %q; it has %s", f.Path, asked, few(t.names()))
		case !fits(c):
			return "", &fault.Input{File: f.Path, Field: "column " + asked, Err: errors.New("its values are of another kind"), Fix: "name another column"}
		}
		return asked, nil
	}
	for _, name := range known {
		for _, c := range f.Columns {
			outer, _, _ := strings.Cut(c.Name, ".")
			if strings.EqualFold(outer, name) && fits(c) && (c.Name == outer || c.Name == outer+".bytes") {
				return outer, nil
			}
		}
	}
	return "", nil
}

// readLabels reads the column of labels. Numbers get the names that Hugging Face's library has put beside the table, if it has.
func (t *parquetTable) readLabels() (labels []int32, classes []string, err error) {
	var texts []string
	whole := false
	for _, f := range t.files {
		c, ok := t.column(f, t.label)
		if !ok || !isLabel(c) {
			return nil, nil, &fault.Input{File: f.Path, Field: "column " + t.label, Err: errors.New("its values are of another kind than in " + t.paths[0]), Fix: "name files of one table"}
		}
		whole = c.Kind == parquetfile.Whole
		r, err := f.Reader(c)
		if err != nil {
			return nil, nil, err
		}
		known := map[string]string{} // so that equal texts share memory
		err = r.Each(func(row int, v parquet.Value) error {
			text, bad := labelText(v)
			if bad != "" {
				return &fault.Input{File: f.Path, Field: fmt.Sprintf("column %s, row %d", t.label, row), Err: errors.New(bad), Fix: "give every row the name or number of its class"}
			}
			if known[text] == "" {
				known[text] = text
			}
			texts = append(texts, known[text])
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}

	if names := t.classNames(); whole && names != nil {
		labels = make([]int32, len(texts))
		for i, text := range texts {
			k, err := strconv.Atoi(text)
			if err != nil || k < 0 || k >= len(names) {
				return nil, nil, &fault.Input{File: t.paths[0], Field: fmt.Sprintf("column %s, row %d", t.label, i), Err: fmt.Errorf("label is %s, and there are names of %d classes", text, len(names)), Fix: "leave the row out"}
			}
			labels[i] = int32(k)
		}
		return labels, names, nil
	}

	labels, classes = classesOf(texts)
	return labels, classes, nil
}

// labelText is a label as a text, or what is wrong with it.
func labelText(v parquet.Value) (text, bad string) {
	switch {
	case v.IsNull():
		return "", "it has no label"
	case v.Kind() == parquet.ByteArray:
		if len(v.ByteArray()) > mostName {
			return "", fmt.Sprintf("%d bytes are not the name of a class", len(v.ByteArray()))
		}
		return string(v.ByteArray()), ""
	case v.Kind() == parquet.Boolean:
		return map[bool]string{false: "0", true: "1"}[v.Boolean()], ""
	case v.Kind() == parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10), ""
	}
	return strconv.FormatInt(v.Int64(), 10), ""
}

// classNames are the names of the classes that Hugging Face's library puts into the table's metadata; nil where there are none.
func (t *parquetTable) classNames() []string {
	text, ok := t.files[0].Metadata("huggingface")
	if !ok || len(text) > 16<<20 || untrusted.CheckJSON("metadata", []byte(text), 1<<20) != nil {
		return nil
	}
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	var feature struct {
		Names []string `json:"names"`
	}
	if json.Unmarshal([]byte(text), &meta) != nil || json.Unmarshal(meta.Info.Features[t.label], &feature) != nil || len(feature.Names) < 2 {
		return nil
	}
	return feature.Names
}

// readers finds the pages of the pictures.
func (t *parquetTable) readers() error {
	t.pictures = make([]*parquetfile.Reader, len(t.files))
	return inParallel(len(t.files), nil, func(i int) (err error) {
		c, ok := t.column(t.files[i], t.image)
		if !ok || !isPicture(c) {
			return &fault.Input{File: t.paths[i], Field: "column " + t.image, Err: errors.New("its values are not bytes"), Fix: "name files of one table"}
		}
		t.pictures[i], err = t.files[i].Reader(c)
		return err
	})
}

// where is the file and the row in it of a row of the table.
func (t *parquetTable) where(i int) (file, row int) {
	file = sort.Search(len(t.first), func(k int) bool { return t.first[k] > i }) - 1
	for t.files[file].Rows() == 0 {
		file--
	}
	return file, i - t.first[file]
}

// Title is FILE: row N.
func (t *parquetTable) Title(i int) string {
	file, row := t.where(i)
	return t.paths[file] + ":row " + strconv.Itoa(row)
}

// Content is the picture of a row.
func (t *parquetTable) Content(i int) ([]byte, error) {
	file, row := t.where(i)
	v, err := t.pictures[file].Value(row)
	if err != nil {
		return nil, err
	}
	if v.IsNull() {
		return nil, &fault.Input{File: t.Title(i), Err: errors.New("it has no picture; a path alone is not followed"), Fix: picture.Replace}
	}
	return slices.Clone(v.ByteArray()), nil
}

// Files are the files of the table.
func (t *parquetTable) Files() []string { return t.paths }

// features are the columns of numbers, all in memory.
func (t *parquetTable) features(set, part, said string, labels []int32, classes []string, options pictureOptions) (Dataset, error) {
	if options.resize || options.channels > 0 || options.skipDamaged {
		return nil, usage("data: %s has no pictures, which size=, channels= and damaged= are for; name their column: ?image=COLUMN", set)
	}

	var names []string
	for _, c := range t.files[0].Columns {
		if c.Name != t.label && (c.Kind == parquetfile.Whole || c.Kind == parquetfile.Real) {
			names = append(names, c.Name)
		}
	}

	if len(names) == 0 {
		lists := ""
		if len(t.files[0].Lists) > 0 {
			lists = " (columns of lists are not read: " + few(t.files[0].Lists) + ")"
		}
		return nil, &fault.Input{File: t.paths[0], Err: fmt.Errorf("it has neither pictures nor columns of numbers beside %s%s", t.label, lists), Fix: "name the column of the pictures: ?image=COLUMN"}
	}

	d := len(names)
	if err := limits.Need("the rows of "+set, 4*int64(len(labels))*int64(d)); err != nil {
		return nil, err
	}

	values := make([]float32, len(labels)*d)
	for i, f := range t.files {
		for k, name := range names {
			if err := t.readFeature(f, name, values[t.first[i]*d+k:], d); err != nil {
				return nil, err
			}
		}
	}

	sum := sha256.New()
	for _, path := range t.paths {
		var one string
		if err := hashFile(&one, path); err != nil {
			return nil, &fault.Input{File: path, Err: untrusted.Reason(err)}
		}
		fmt.Fprintln(sum, one, t.label)
	}

	m := features{values: values, labels: labels}
	m.info = Info{
		Name: set, Part: part, Examples: len(labels), Shape: []int{d}, Classes: classes, Origin: filepath.Dir(t.paths[0]),
		Checksum: fmt.Sprintf("%x", sum.Sum(nil)),
	}

	m.notes = []Note{{"format", said}, {"layout", fmt.Sprintf("%d features: %s", d, few(names))}, {"classes", fmt.Sprintf("%d: %s", len(classes), few(classes))}}
	return m, nil
}

// readFeature reads a column to every dth value.
func (t *parquetTable) readFeature(f *parquetfile.File, name string, to []float32, d int) error {
	c, ok := f.Find(name)
	if !ok {
		return &fault.Input{File: f.Path, Err: fmt.Errorf("it has no column %s, which %s has", name, t.paths[0]), Fix: "name files of one table"}
	}
	r, err := f.Reader(c)
	if err != nil {
		return err
	}
	return r.Each(func(row int, v parquet.Value) error {
		x, ok := number(v)
		if !ok {
			return &fault.Input{File: f.Path, Field: fmt.Sprintf("column %s, row %d", name, row), Err: errors.New("it is not a finite number"), Fix: "fill it in, or leave the row out"}
		}
		to[row*d] = x
		return nil
	})
}

// number is a value as a finite number.
func number(v parquet.Value) (x float32, ok bool) {
	if v.IsNull() {
		return 0, false
	}
	switch v.Kind() {
	case parquet.Boolean:
		if v.Boolean() {
			x = 1
		}
	case parquet.Int32:
		x = float32(v.Int32())
	case parquet.Int64:
		x = float32(v.Int64())
	case parquet.Float:
		x = v.Float()
	case parquet.Double:
		x = float32(v.Double())
	default:
		return 0, false
	}
	f := float64(x)
	return x, !math.IsNaN(f) && !math.IsInf(f, 0)
}

// features are rows of numbers in memory.
type features struct {
	info   Info
	values []float32
	labels []int32
	notes  []Note
}

var _ Noted = features{}

func (m features) Info() Info        { return m.info }
func (m features) Len() int          { return len(m.labels) }
func (m features) Label(i int) int32 { return m.labels[i] }

// Notes are what the table was taken for.
func (m features) Notes() []Note { return m.notes }

func (m features) Read(i int, dst []float32) error {
	d := m.info.Shape[0]
	if copy(dst, m.values[i*d:(i+1)*d]) < d {
		return io.ErrShortBuffer
	}
	return nil
}
