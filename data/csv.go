package data

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	limits "github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// columnNames are what the columns of paths and of labels are called, in lower case.
var (
	pathColumns  = []string{"path", "file_name", "filename", "file", "filepath", "file_path", "image", "image_path", "img", "image_id"}
	labelColumns = []string{"label", "labels", "class", "class_name", "classname", "category", "target", "y"}
)

// csv opens pictures whose paths and labels are the rows of a CSV file (tabs in a .tsv file). The paths are relative to the file's folder and
// stay in it. A first row whose cells are names of columns is a header; without one the first column has the paths and the second the labels.
// Options: image=COLUMN and label=COLUMN, and those of folders. Classes are the labels in alphabetical order, numbers by their size.
func (o Opening) csv(name string) (Dataset, error) {
	path, query, _ := strings.Cut(name, "?")
	options, err := parsePictureOptions("csv:"+name, query, "image", "label")
	if err != nil {
		return nil, err
	}
	if stat, err := os.Stat(path); err == nil && stat.IsDir() {
		if table := tableIn(path); table != "" {
			path = table
		}
	}
	t := table{path: path}
	if err := t.read(options); err != nil {
		return nil, err
	}
	files, err := t.inside(o.SkipDamaged || options.skipDamaged)
	if err != nil {
		return nil, err
	}

	p := &pictures{pictureOptions: options, name: "csv:" + path, origin: path, from: pictureFiles(files), keys: t.paths}
	p.note("format", "a CSV file of paths and labels, %s", t.says)
	p.labels, p.classes = classesOf(t.labels)
	if len(p.classes) < 2 {
		return nil, &fault.Input{File: path, Field: t.labelColumn, Err: fmt.Errorf("all %d labels are %q", len(files), strict.Short(t.labels[0])), Fix: "give at least 2 classes, or name another column: ?label=COLUMN"}
	}
	p.noteClasses()
	return p, p.ready(o)
}

// table is what is read of a CSV file.
type table struct {
	path          string
	says          string // how it was understood
	labelColumn   string
	paths, labels []string
	lines         []int // of each row in the file
}

// mostTable is the most bytes of a CSV file: 1 GB, about 10 million rows.
const mostTable = 1 << 30

func (t *table) read(options pictureOptions) error {
	content, err := untrusted.ReadFile(t.path, mostTable)
	if err != nil {
		return &fault.Input{File: t.path, Err: untrusted.Reason(err), Fix: "give a CSV file of paths and labels"}
	}
	if err := limits.Need(t.path, 4*int64(len(content))); err != nil {
		return err
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	r := csv.NewReader(bufio.NewReader(bytes.NewReader(content)))
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	if strings.EqualFold(filepath.Ext(t.path), ".tsv") {
		r.Comma = '\t'
	}

	at, to := 0, 1
	for first := true; ; first = false {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t.malformed(err)
		}
		line, _ := r.FieldPos(0)
		if first {
			var header bool
			if at, to, header, err = t.columns(row, options); err != nil {
				return err
			}
			if header {
				continue
			}
		}
		if len(row) <= max(at, to) {
			return &fault.Input{
				File: t.path, Field: "line " + strconv.Itoa(line), Err: fmt.Errorf("it has %d columns, and the path or the label stands in column %d", len(row), max(at, to)+1),
				Fix: "give every row a path and a label",
			}
		}
		t.paths = append(t.paths, strings.TrimSpace(row[at]))
		t.labels = append(t.labels, strings.TrimSpace(row[to]))
		t.lines = append(t.lines, line)
		if len(t.paths) > picture.MaxImages {
			return &fault.Input{File: t.path, Err: fmt.Errorf("more than %d rows", picture.MaxImages), Fix: "split the file"}
		}
	}
	if len(t.paths) == 0 {
		return &fault.Input{File: t.path, Err: errors.New("it has no row of a path and a label"), Fix: "write rows such as photos/1.jpg,cat"}
	}
	return t.filled()
}

// malformed says where a file is not CSV.
func (t *table) malformed(err error) error {
	if at := new(csv.ParseError); errors.As(err, &at) {
		return &fault.Input{File: t.path, Field: "line " + strconv.Itoa(at.Line), Err: at.Err, Fix: `put cells with quotes or line ends in quotes, and write "" for a quote in them`}
	}
	return &fault.Input{File: t.path, Err: err}
}

// columns finds the columns of paths and labels in the first row.
func (t *table) columns(row []string, options pictureOptions) (at, to int, header bool, err error) {
	names := make([]string, len(row))
	for i, cell := range row {
		names[i] = strings.ToLower(strings.TrimSpace(cell))
	}
	find := func(asked string, known []string) int {
		if asked != "" {
			return slices.Index(names, strings.ToLower(asked))
		}
		for _, k := range known {
			if i := slices.Index(names, k); i >= 0 {
				return i
			}
		}
		return -1
	}
	at, to = find(options.image, pathColumns), find(options.label, labelColumns)
	switch {
	case options.image != "" && at < 0, options.label != "" && to < 0:
		asked := options.image
		if at >= 0 || asked == "" {
			asked = options.label
		}
		return 0, 0, false, usage("data: %s has no column %q; its first row is %s", t.path, asked, few(row))
	case at >= 0 && to >= 0:
		t.labelColumn = "column " + names[to]
		t.says = fmt.Sprintf("columns %s and %s", names[at], names[to])
		return at, to, true, nil
	case at < 0 && to < 0 && len(row) == 2 || len(row) == 2 && strings.Contains(row[0], "."):
		t.labelColumn, t.says = "column 2", "without a header: paths, then labels"
		return 0, 1, false, nil
	}
	return 0, 0, false, &fault.Input{
		File: t.path, Field: "line 1", Err: fmt.Errorf("which columns have the paths and the labels is not known: %s", few(row)),
		Fix: "call them path and label, or name them: csv:FILE?image=COLUMN&label=COLUMN",
	}
}

// filled refuses rows without a path or a label.
func (t *table) filled() error {
	for i := range t.paths {
		what := ""
		switch {
		case t.paths[i] == "":
			what = "path"
		case t.labels[i] == "":
			what = "label"
		default:
			continue
		}
		return &fault.Input{File: t.path, Field: "line " + strconv.Itoa(t.lines[i]), Err: fmt.Errorf("the %s is empty", what), Fix: "fill it in, or remove the row"}
	}
	return nil
}

// inside are the files of the rows. Each must lie in the folder of the table, its links followed, and be there unless some may lack.
func (t *table) inside(mayLack bool) ([]string, error) {
	dir := filepath.Dir(t.path)
	whole, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	files := make([]string, len(t.paths))
	err = inParallel(len(files), nil, func(i int) error {
		name := t.paths[i]
		refuse := func(err error, fix string) error {
			return &fault.Input{File: t.path, Field: "line " + strconv.Itoa(t.lines[i]), Err: fmt.Errorf("%s: %w", name, err), Fix: fix}
		}
		if filepath.IsAbs(name) {
			rel, err := filepath.Rel(whole, name)
			if err != nil {
				return refuse(err, "write paths relative to the file's folder")
			}
			name = filepath.ToSlash(rel)
		}
		path, err := untrusted.Inside(dir, filepath.ToSlash(filepath.Clean(filepath.FromSlash(name))))
		if err != nil {
			return refuse(errors.New("it leads out of the file's folder"), "put the pictures beside the file or below it, and write paths relative to its folder")
		}
		files[i] = path
		if _, err := os.Stat(path); err != nil && !mayLack {
			return refuse(untrusted.Reason(err), "correct the path, which is relative to the file's folder, or remove the row")
		}
		return nil
	})
	return files, err
}

// classesOf numbers labels: the names are in alphabetical order, numbers by their size. Numbers that a table has written as 3.0 are 3.
func classesOf(names []string) (labels []int32, classes []string) {
	whole := !slices.ContainsFunc(names, func(name string) bool {
		v, err := strconv.ParseFloat(name, 64)
		return err != nil || v != math.Trunc(v) || math.Abs(v) > 1<<31 || !strings.Contains(name, ".") && strings.ContainsAny(name, "eExX")
	})
	if whole {
		clean := make([]string, len(names))
		for i, name := range names {
			v, _ := strconv.ParseFloat(name, 64)
			clean[i] = strconv.FormatInt(int64(v), 10)
		}
		names = clean
	}
	classes = slices.Compact(slices.Sorted(slices.Values(names)))
	picture.InOrder(classes)
	place := make(map[string]int32, len(classes))
	for k, name := range classes {
		place[name] = int32(k)
	}
	labels = make([]int32, len(names))
	for i, name := range names {
		labels[i] = place[name]
	}
	return labels, classes
}
