// Package parquetfile reads columns of untrusted Parquet files by github.com/parquet-go/parquet-go, which trusts the sizes that headers
// give: here they are held against the bytes that there are before the library sees them, and a library that stops is an error. A page is
// decoded when one of its rows is wanted.
package parquetfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

const (
	mostFooter = 64 << 20 // bytes of a footer; one of 10,000 row groups of 10 columns has about 10 MB
	mostRows   = 1 << 25  // of a file
	footerCost = 128      // bytes of memory for each of a footer, at most
)

// Kind is what the values of a column are.
type Kind int

// The kinds. Whole and Real have numbers, Bytes texts and pictures.
const (
	Other Kind = iota
	Bytes
	Whole
	Real
)

// Column is a column of single values.
type Column struct {
	Name  string // its names from the outside in, with dots: image.bytes
	Kind  Kind
	index int
	leaf  *parquet.Column
}

// File is an open file. Its methods may be called at the same time by many.
type File struct {
	Path    string
	Columns []Column
	Lists   []string // names of columns that hold lists

	file   *os.File
	size   int64
	parsed *parquet.File
	groups []*parquet.FileRowGroup
}

// Is reports whether a file begins as Parquet files do.
func Is(head []byte) bool { return strings.HasPrefix(string(head), "PAR1") }

// Open reads the footer of a file. Close it.
func Open(path string) (*File, error) {
	file, err := untrusted.OpenFilled(path)
	if err != nil {
		return nil, &fault.Input{File: path, Err: untrusted.Reason(err)}
	}
	f := &File{Path: path, file: file}
	if err := f.open(); err != nil {
		return nil, errors.Join(f.damaged(err), file.Close())
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// damaged is an error of the file, but for those of memory, and those that name it already.
func (f *File) damaged(err error) error {
	if fault.IsExhausted(err) || errors.As(err, new(*fault.Input)) {
		return err
	}
	return &fault.Input{File: f.Path, Err: fmt.Errorf("not a whole Parquet file: %w", err), Fix: "get it again, or write it anew"}
}

// guarded runs f, and makes an error of a panic: the library has met what it should have refused.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its reader stopped: %v", r)
		}
	}()
	return f()
}

func (f *File) open() error {
	stat, err := f.file.Stat()
	if err != nil {
		return err
	}
	f.size = stat.Size()
	if err := f.checkFooter(); err != nil {
		return err
	}
	err = guarded(func() error {
		f.parsed, err = parquet.OpenFile(f.file, f.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		return err
	})
	if err != nil {
		return err
	}
	if f.parsed.NumRows() > mostRows {
		return fmt.Errorf("it has %d rows; at most %d are read", f.parsed.NumRows(), mostRows)
	}
	rows := int64(0)
	for _, g := range f.parsed.RowGroups() {
		group, ok := g.(*parquet.FileRowGroup)
		if !ok || group.NumRows() < 0 || group.NumRows() > mostRows {
			return fmt.Errorf("a row group of %d rows", g.NumRows())
		}
		rows += group.NumRows()
		f.groups = append(f.groups, group)
	}
	if rows != f.parsed.NumRows() {
		return fmt.Errorf("its row groups have %d rows, and it says %d", rows, f.parsed.NumRows())
	}
	return guarded(f.findColumns)
}

// checkFooter holds the sizes in the footer against its bytes. The last eight bytes of a file are its length and a mark.
func (f *File) checkFooter() error {
	var tail [8]byte
	if f.size < 12 {
		return errors.New("it is too short")
	}
	if _, err := f.file.ReadAt(tail[:], f.size-8); err != nil {
		return err
	}
	if mark := string(tail[4:]); mark == "PARE" {
		return errors.New("it is encrypted")
	} else if mark != "PAR1" {
		return errors.New("it does not end as one")
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	if length > f.size-12 || length > mostFooter {
		return fmt.Errorf("its footer has %d bytes, the file %d", length, f.size)
	}
	if err := memory.Need("the footer of "+f.Path, footerCost*length); err != nil {
		return err
	}
	footer := make([]byte, length)
	if _, err := f.file.ReadAt(footer, f.size-8-length); err != nil {
		return err
	}
	_, err := skim(footer)
	return err
}

// findColumns lists the columns of single values.
func (f *File) findColumns() error {
	for _, path := range f.parsed.Schema().Columns() {
		leaf, ok := f.parsed.Schema().Lookup(path...)
		if !ok {
			return fmt.Errorf("the column %s is not in its schema", strings.Join(path, "."))
		}
		name := strings.Join(path, ".")
		if leaf.MaxRepetitionLevel > 0 {
			f.Lists = append(f.Lists, path[0])
			continue
		}
		column := f.parsed.Root()
		for _, part := range path {
			if column = column.Column(part); column == nil {
				return fmt.Errorf("the column %s is not in its schema", name)
			}
		}
		f.Columns = append(f.Columns, Column{Name: name, Kind: kindOf(column), index: leaf.ColumnIndex, leaf: column})
	}
	return nil
}

// kindOf is the kind of a column of single values.
func kindOf(c *parquet.Column) Kind {
	logical := c.Type().LogicalType()
	switch c.Type().Kind() {
	case parquet.ByteArray:
		return Bytes
	case parquet.Boolean:
		return Whole
	case parquet.Int32, parquet.Int64:
		converted := c.Type().ConvertedType()
		if logical == nil && (converted == nil || *converted != deprecated.Decimal) || logical != nil && isInteger(logical) {
			return Whole
		}
	case parquet.Float, parquet.Double:
		return Real
	}
	return Other
}

func isInteger(l *format.LogicalType) bool {
	_, ok := l.Value.(*format.IntType)
	return ok
}

// Rows is the number of rows.
func (f *File) Rows() int { return int(f.parsed.NumRows()) }

// Find returns a column of a name.
func (f *File) Find(name string) (Column, bool) {
	for _, c := range f.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// Metadata is the text of a key that the writer has put beside the schema.
func (f *File) Metadata(key string) (string, bool) { return f.parsed.Lookup(key) }

// readAt reads all of a piece.
func (f *File) readAt(b []byte, at int64) error {
	_, err := f.file.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
