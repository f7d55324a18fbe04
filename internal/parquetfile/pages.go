package parquetfile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/ballast-ml/ballast/internal/memory"
)

const (
	mostHeader = 64 << 20 // bytes of a page's header, in which some writers put the smallest and the largest value, twice
	mostPage   = 1 << 30  // bytes of a page, decoded
)

// page is a data page of a column, or the dictionary of a row group.
type page struct {
	at, header, body int64 // where its header begins, and the bytes of the header and of what follows
	decoded          int64 // bytes of the body as it says, decompressed
	plain            int64 // bytes at the beginning of the body that are not compressed
	packed           bool  // the rest is compressed, if the column is
	first, rows      int   // rows of the file that it holds
	group            int
	dictionary       bool
}

// Reader reads the values of a column, a page at a time.
type Reader struct {
	f            *File
	c            Column
	pages        []page
	dictionaries map[int]page // of each row group that has one

	mu    sync.Mutex // guards what follows
	kept  []*decoded // pages that were decoded, the latest last
	bytes int64      // of them
}

// decoded is a page in memory. Its values may lie in the page's own memory.
type decoded struct {
	page   int
	once   sync.Once
	values []parquet.Value
	err    error
}

// Reader finds the pages of a column, by their headers alone.
func (f *File) Reader(c Column) (*Reader, error) {
	r := &Reader{f: f, c: c, dictionaries: map[int]page{}}
	rows := 0
	for g := range f.groups {
		if err := r.group(g, rows); err != nil {
			return nil, f.damaged(fmt.Errorf("column %s: %w", c.Name, err))
		}
		rows += int(f.groups[g].NumRows())
	}
	return r, nil
}

// group finds the pages of a row group.
func (r *Reader) group(g, first int) error {
	columns := r.f.parsed.Metadata().RowGroups[g].Columns
	if r.c.index >= len(columns) {
		return errors.New("a row group has too few columns")
	}
	chunk := columns[r.c.index].MetaData
	switch chunk.Codec {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Zstd: // the library's LZ4 takes memory without end for what is damaged
	default:
		return fmt.Errorf("it is compressed by %v; write it with snappy, gzip, zstd, or none", chunk.Codec)
	}
	at := chunk.DataPageOffset
	if chunk.DictionaryPageOffset != 0 {
		at = chunk.DictionaryPageOffset
	}
	end := at + chunk.TotalCompressedSize
	if at < 4 || chunk.TotalCompressedSize < 0 || end < at || end > r.f.size {
		return fmt.Errorf("its bytes %d to %d lie outside the file", at, end)
	}

	rows, last := first, first+int(r.f.groups[g].NumRows())
	for at < end && rows < last {
		p, err := r.header(at, end)
		if err != nil {
			return err
		}
		p.group, p.first = g, rows
		if p.rows > last-rows {
			return fmt.Errorf("a page says that it has %d rows, its row group has %d left", p.rows, last-rows)
		}
		if at += p.header + p.body; p.dictionary {
			r.dictionaries[g] = p
			continue
		}
		rows += p.rows
		r.pages = append(r.pages, p)
	}
	if rows != last {
		return fmt.Errorf("its pages have %d rows of the %d of a row group", rows-first, last-first)
	}
	return nil
}

// header reads the header of the page that begins at a byte.
func (r *Reader) header(at, end int64) (p page, err error) {
	var head format.PageHeader
	for window := int64(4096); ; window *= 8 {
		window = min(window, end-at, mostHeader)
		b := make([]byte, window)
		if err := r.f.readAt(b, at); err != nil {
			return p, err
		}
		length, err := skim(b)
		if err != nil {
			if window == end-at || window == mostHeader {
				return p, fmt.Errorf("the page at byte %d: %w", at, err)
			}
			continue
		}
		if err := guarded(func() error { return thrift.Unmarshal(new(thrift.CompactProtocol), b[:length], &head) }); err != nil {
			return p, fmt.Errorf("the page at byte %d: %w", at, err)
		}
		p.header = int64(length)
		break
	}

	p.at, p.body, p.decoded, p.packed = at, int64(head.CompressedPageSize), int64(head.UncompressedPageSize), true
	if p.body < 0 || p.body > end-at-p.header || p.decoded < 0 || p.decoded > mostPage {
		return p, fmt.Errorf("the page at byte %d says that it has %d bytes, %d decoded", at, p.body, p.decoded)
	}
	values, encoding := int64(0), format.Plain
	switch head.Type {
	case format.DataPage:
		values, encoding = int64(head.DataPageHeader.V.NumValues), head.DataPageHeader.V.Encoding
	case format.DataPageV2:
		v2 := head.DataPageHeaderV2.V
		values, encoding = int64(v2.NumValues), v2.Encoding
		p.plain = int64(v2.RepetitionLevelsByteLength) + int64(v2.DefinitionLevelsByteLength)
		p.packed = !v2.IsCompressed.Valid || v2.IsCompressed.V
		if v2.NumRows != v2.NumValues || v2.NumNulls < 0 || v2.NumNulls > v2.NumValues || v2.RepetitionLevelsByteLength < 0 || p.plain < 0 || p.plain > min(p.body, p.decoded) {
			return p, fmt.Errorf("the page at byte %d contradicts itself", at)
		}
	case format.DictionaryPage:
		p.dictionary = true
		if n := int64(head.DictionaryPageHeader.V.NumValues); n < 0 || n > p.decoded {
			return p, fmt.Errorf("the dictionary at byte %d says that it has %d values in %d bytes", at, n, p.decoded)
		}
	default:
		return p, fmt.Errorf("the page at byte %d is of type %v", at, head.Type)
	}
	if values < 0 || values > mostRows || values == 0 && !p.dictionary && p.body == 0 {
		return p, fmt.Errorf("the page at byte %d says that it has %d values", at, values)
	}
	if encoding == format.DeltaByteArray { // each value may repeat the whole one before it in a few bytes
		return p, fmt.Errorf("its encoding is %v; write it with another", encoding)
	}
	p.rows = int(values)
	return p, nil
}

// Value returns the value of a row; null where it has none. It may lie in memory of the reader, which does not change.
func (r *Reader) Value(row int) (parquet.Value, error) {
	k := sort.Search(len(r.pages), func(k int) bool { return r.pages[k].first > row }) - 1
	if row < 0 || k < 0 || row >= r.pages[k].first+r.pages[k].rows {
		return parquet.Value{}, fmt.Errorf("parquetfile: row %d of %s, which has %d", row, r.f.Path, r.f.Rows())
	}
	values, err := r.page(k)
	if err != nil {
		return parquet.Value{}, err
	}
	return values[row-r.pages[k].first], nil
}

// Each calls visit with the value of every row, in order.
func (r *Reader) Each(visit func(row int, v parquet.Value) error) error {
	for k := range r.pages {
		values, err := r.decode(k)
		if err != nil {
			return err
		}
		for i, v := range values {
			if err := visit(r.pages[k].first+i, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// keptBytes is about how much memory decoded pages take: the latest stay, at least two.
const keptBytes = 128 << 20

// page decodes a page once while it is wanted again and again.
func (r *Reader) page(k int) ([]parquet.Value, error) {
	r.mu.Lock()
	at := slices.IndexFunc(r.kept, func(d *decoded) bool { return d.page == k })
	var d *decoded
	if at >= 0 {
		d = r.kept[at]
		r.kept = append(slices.Delete(r.kept, at, at+1), d)
	} else {
		d = &decoded{page: k}
		r.kept = append(r.kept, d)
		r.bytes += r.pages[k].decoded
		for len(r.kept) > 2 && r.bytes > keptBytes {
			r.bytes -= r.pages[r.kept[0].page].decoded
			r.kept = slices.Delete(r.kept, 0, 1)
		}
	}
	r.mu.Unlock()
	d.once.Do(func() { d.values, d.err = r.decode(k) })
	return d.values, d.err
}

// decode decodes a page. The library is given the dictionary of its row group and the page, as if they were all of the column.
func (r *Reader) decode(k int) (values []parquet.Value, err error) {
	p := r.pages[k]
	defer func() {
		if err != nil {
			err = r.f.damaged(fmt.Errorf("column %s, the page at byte %d: %w", r.c.Name, p.at, err))
		}
	}()
	d, hasDictionary := r.dictionaries[p.group]
	size := p.header + p.body + d.header + d.body
	if err := memory.Need("a page of "+r.f.Path, size+2*(p.decoded+d.decoded)+32*int64(p.rows)); err != nil {
		return nil, err
	}
	content := make([]byte, size)
	if hasDictionary {
		if err := r.f.readAt(content[:d.header+d.body], d.at); err != nil {
			return nil, err
		}
		if err := r.checkSize(d, content[d.header:d.header+d.body]); err != nil {
			return nil, err
		}
	}
	own := content[d.header+d.body:]
	if err := r.f.readAt(own, p.at); err != nil {
		return nil, err
	}
	if err := r.checkSize(p, own[p.header:]); err != nil {
		return nil, err
	}

	err = guarded(func() error {
		chunk, ok := r.f.groups[p.group].ColumnChunks()[r.c.index].(*parquet.FileColumnChunk)
		if !ok {
			return errors.New("it is not a column of a file")
		}
		meta := r.f.parsed.Metadata().RowGroups[p.group].Columns[r.c.index].MetaData
		base := meta.DataPageOffset
		if meta.DictionaryPageOffset != 0 {
			base = meta.DictionaryPageOffset
		}
		pages := chunk.PagesFrom(shifted{content, base})
		defer pages.Close() //nolint:errcheck // nothing was opened for it
		whole, err := pages.ReadPage()
		if err != nil {
			return err
		}
		values = make([]parquet.Value, p.rows)
		n, err := readAll(whole.Values(), values)
		if n != p.rows {
			return fmt.Errorf("%d values of %d: %w", n, p.rows, err)
		}
		return nil
	})
	return values, err
}

// readAll fills values.
func readAll(from parquet.ValueReader, values []parquet.Value) (n int, err error) {
	for n < len(values) && err == nil {
		var k int
		k, err = from.ReadValues(values[n:])
		if n += k; k == 0 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// shifted is bytes that stand at another place of a file.
type shifted struct {
	b    []byte
	base int64
}

func (s shifted) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(s.b).ReadAt(p, at-s.base)
}

// checkSize holds what a page says of its size against what decompresses, without keeping it.
func (r *Reader) checkSize(p page, body []byte) error {
	codec := r.f.parsed.Metadata().RowGroups[p.group].Columns[r.c.index].MetaData.Codec
	if !p.packed || codec == format.Uncompressed {
		if p.decoded != p.body {
			return fmt.Errorf("it is not compressed, and has %d bytes that become %d", p.body, p.decoded)
		}
		return nil
	}
	body, want := body[p.plain:], p.decoded-p.plain
	var got int64
	switch codec {
	case format.Snappy: // its length comes first
		n, width := binary.Uvarint(body)
		if width <= 0 || n > mostPage {
			return fmt.Errorf("it decompresses to %d bytes, and says %d", n, want)
		}
		got = int64(n)
	case format.Gzip:
		unpacked, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return err
		}
		if got, err = io.Copy(io.Discard, io.LimitReader(unpacked, want+1)); err != nil {
			return err
		}
	case format.Zstd:
		unpacked, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(mostWindow))
		if err != nil {
			return err
		}
		defer unpacked.Close()
		if got, err = io.Copy(io.Discard, io.LimitReader(unpacked, want+1)); err != nil {
			return err
		}
	}
	if got != want {
		return fmt.Errorf("it decompresses to %d bytes or more, and says %d", got, want)
	}
	return nil
}

// mostWindow is the most memory of zstd's window: 64 MB, eight times that of its default level.
const mostWindow = 64 << 20
