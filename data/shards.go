package data

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// shards are the pictures of tar files as WebDataset has them: members with one name up to the first dot are a sample, KEY.jpg its picture and
// KEY.cls (a number), KEY.json (with a key label, cls, class or class_name) or KEY.txt (a name) its label. Members are found once, and read
// where they lie when they are wanted.
type shards struct {
	files   []string
	members []member
}

// member is a picture in a tar file.
type member struct {
	file     int32
	at, size int64
	name     string
}

var _ container = (*shards)(nil)

// Title is FILE:MEMBER.
func (s *shards) Title(i int) string {
	m := s.members[i]
	return s.files[m.file] + ":" + printable.Line(m.name)
}

// Content reads the member.
func (s *shards) Content(i int) (content []byte, err error) {
	m := s.members[i]
	f, err := untrusted.Open(s.files[m.file])
	if err != nil {
		return nil, err
	}
	content = make([]byte, m.size)
	if _, err = f.ReadAt(content, m.at); errors.Is(err, io.EOF) {
		err = &fault.Input{File: s.Title(i), Err: errors.New("the file ends within it"), Fix: "get the file again"}
	}
	return content, errors.Join(err, f.Close())
}

// Files are the tar files.
func (s *shards) Files() []string { return s.files }

// shards opens the tar files that a name stands for.
func (o Opening) shards(name, part string) (Dataset, error) {
	pattern, query, _ := strings.Cut(name, "?")
	set := "wds:" + pattern
	options, err := parsePictureOptions(set, query, "image", "label")
	if err != nil {
		return nil, err
	}
	files, err := filesOf(pattern, formShards)
	if err != nil {
		return nil, err
	}
	p := &pictures{pictureOptions: options, name: set, origin: pattern}
	if files, p.part, err = ofPart(set, files, part); err != nil {
		return nil, err
	}

	s := &shards{files: files}
	read := shardReader{shards: s, image: options.image, label: options.label, used: map[string]int{}}
	for i := range files {
		if err := read.file(int32(i)); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(i+1, len(files))
		}
	}
	if len(s.members) == 0 {
		return nil, &fault.Input{File: files[0], Err: errors.New("no sample with a picture in it"), Fix: "give tar files with members such as 000.jpg and 000.cls"}
	}
	p.from = s
	p.labels, p.classes = classesOf(read.labels)
	if len(p.classes) < 2 {
		return nil, &fault.Input{File: files[0], Err: fmt.Errorf("all %d labels are %q", len(read.labels), read.labels[0]), Fix: "give at least 2 classes, or name another member: ?label=ENDING"}
	}
	p.note("format", "WebDataset: %d tar %s, labels of %s", len(files), plural(len(files), "file", "files"), read.says())
	p.noteClasses()
	if read.skipped > 0 {
		p.note("skipped", "%d %s without a picture", read.skipped, plural(read.skipped, "sample", "samples"))
	}
	return p, p.ready(o)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// shardReader finds the samples of tar files.
type shardReader struct {
	*shards
	image, label string // endings of members, or a key of a .json; "" = found

	labels  []string
	skipped int
	used    map[string]int // how often labels came from what

	now tarSample
}

// tarSample is the members of one key.
type tarSample struct {
	key      string
	pictures map[string]member // by ending
	labels   map[string]string // content of the members that may be labels, by ending
}

// mostLabel is the most bytes of a member with a label.
const mostLabel = 1 << 20

// file reads the headers of a tar file, and the members with labels.
func (r *shardReader) file(i int32) (err error) {
	name := r.files[i]
	f, err := untrusted.OpenFilled(name)
	if err != nil {
		return imageFault(name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	damaged := func(err error) error {
		return &fault.Input{File: name, Err: fmt.Errorf("not a whole tar file: %w", err), Fix: "get it again; a packed one (.tar.gz) must be unpacked"}
	}
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return r.flush(i)
		}
		if err != nil {
			return damaged(err)
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if at+h.Size > stat.Size() {
			return damaged(fmt.Errorf("it ends within %s", printable.Short(h.Name)))
		}
		if h.Typeflag != tar.TypeReg || path.Base(h.Name)[0] == '.' || sparse(h) {
			continue // folders, and links, which may lead anywhere
		}
		if err := r.member(i, h, at, t); err != nil {
			return err
		}
	}
}

// sparse reports whether the bytes of a member do not lie one behind the other.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// member takes a file of a sample.
func (r *shardReader) member(file int32, h *tar.Header, at int64, content io.Reader) error {
	dir, base := path.Split(h.Name)
	stem, ending, ok := strings.Cut(base, ".")
	if !ok {
		return nil
	}
	key, ending := dir+stem, strings.ToLower(ending)
	if key != r.now.key || r.now.pictures == nil {
		if err := r.flush(file); err != nil {
			return err
		}
		r.now = tarSample{key: key, pictures: map[string]member{}, labels: map[string]string{}}
	}
	last := path.Ext("." + ending)
	switch {
	case slices.Contains(picture.Endings(), last):
		if h.Size > picture.MaxFile {
			return r.fails(file, h.Name, errors.New("it is too large for a picture"), "save it smaller")
		}
		r.now.pictures[ending] = member{file, at, h.Size, h.Name}
	case slices.Contains(picture.Unread(), last) && (r.image == "" || r.image == ending):
		return r.fails(file, h.Name, errors.New(picture.Kinds+" are read, and no other pictures"), "convert it")
	case ending == "cls" || ending == "json" || ending == "txt" || ending == r.label:
		if h.Size > mostLabel {
			return r.fails(file, h.Name, errors.New("it is too large for a label"), "put numbers into .cls, or names into .txt")
		}
		text, err := io.ReadAll(content)
		if err != nil {
			return r.fails(file, h.Name, err, "get the file again")
		}
		r.now.labels[ending] = strings.TrimSpace(string(text))
	}
	return nil
}

func (r *shardReader) fails(file int32, name string, err error, fix string) error {
	return &fault.Input{File: r.files[file], Field: printable.Short(name), Err: err, Fix: fix}
}

// flush takes the sample that is complete.
func (r *shardReader) flush(file int32) error {
	s := r.now
	r.now = tarSample{}
	switch {
	case s.pictures == nil:
		return nil
	case len(s.pictures) == 0 || r.image != "" && s.pictures[r.image].name == "":
		r.skipped++
		return nil
	case len(s.pictures) > 1 && r.image == "":
		var endings []string
		for e := range s.pictures {
			endings = append(endings, e)
		}
		slices.Sort(endings)
		return r.fails(file, s.key, fmt.Errorf("it has several pictures: %s", strings.Join(endings, ", ")), "name the one: ?image="+endings[0])
	}
	picked := s.pictures[r.image]
	for _, m := range s.pictures {
		if r.image == "" {
			picked = m
		}
	}

	label, from, err := r.labelOf(s)
	if err != nil {
		return r.fails(file, s.key, err, "give each picture a label: KEY.cls with a number, KEY.txt with a name, or KEY.json with a key label")
	}
	r.used[from]++
	r.members = append(r.members, picked)
	r.labels = append(r.labels, label)
	if len(r.members) > picture.MaxImages {
		return r.fails(file, s.key, fmt.Errorf("more than %d pictures", picture.MaxImages), "name fewer shards")
	}
	return nil
}

// labelKeys are the keys of a .json that may hold the label, in the order in which they are looked for.
var labelKeys = []string{"label", "cls", "class", "class_name", "category", "target"}

// mostName is the longest name of a class; what is longer is a caption.
const mostName = 200

// labelOf finds the label of a sample, and says where.
func (r *shardReader) labelOf(s tarSample) (label, from string, err error) {
	for _, ending := range []string{r.label, "cls", "json", "txt"} {
		text, ok := s.labels[ending]
		switch {
		case !ok || r.label != "" && ending != r.label && ending != "json":
			continue
		case ending == "json":
			keys := labelKeys
			if r.label != "" && r.label != "json" {
				keys = []string{r.label}
			}
			if label, ok = labelIn(text, keys); !ok {
				continue
			}
		default:
			label = text
		}
		if label == "" || len(label) > mostName || strings.ContainsAny(label, "\n\r") {
			return "", "", fmt.Errorf("its .%s is not the name of a class", ending)
		}
		return label, "." + ending, nil
	}
	return "", "", errors.New("it has no label")
}

// labelIn is the text or number of one of some keys.
func labelIn(text string, keys []string) (label string, ok bool) {
	if untrusted.CheckJSON("a label", []byte(text), 1<<16) != nil {
		return "", false
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &object) != nil {
		return "", false
	}
	for _, key := range keys {
		var word string
		if json.Unmarshal(object[key], &word) == nil {
			return word, true
		}
		var number int64
		if json.Unmarshal(object[key], &number) == nil {
			return strconv.FormatInt(number, 10), true
		}
	}
	return "", false
}

// says is where labels came from.
func (r *shardReader) says() string {
	var from []string
	for ending := range r.used {
		from = append(from, ending)
	}
	slices.Sort(from)
	return strings.Join(from, " and ")
}
