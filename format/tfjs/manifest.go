package tfjs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/internal/printable"
)

// maxDims bounds the dimensions of a weight.
const maxDims = 64

// weight is one entry of a group.
type weight struct {
	name      string
	dtype     string // of the values: "float32", "int32", "uint8", "bool", "complex64", "string"
	stored    string // of the bytes
	shape     []int
	elements  int64
	scale     float64
	min       float64
	quantised bool
	group     int
	at, end   int64 // in the bytes of the group
}

// sizes gives the bytes of an element as stored; strings have no fixed size.
var sizes = map[string]int64{"float32": 4, "int32": 4, "uint8": 1, "bool": 1, "complex64": 8, "float16": 2, "uint16": 2, "string": 0}

// parser reads a manifest.
type parser struct {
	file    *File
	budget  int64
	seen    map[string]bool
	weights []*weight
	groups  [][]string // paths
}

func (p *parser) fail(kind *format.Kind, name, field, text, fix string) error {
	return &Error{File: p.file.path, Tensor: name, Field: field, Kind: kind, Text: text, Fix: fix}
}

// manifest reads model.json, or an array of groups alone.
func (p *parser) manifest(r io.Reader) error {
	d := json.NewDecoder(r)
	first, err := d.Token()
	if err != nil {
		return p.json("", err)
	}
	switch first {
	case json.Delim('['):
		if err := p.list(d, p.group); err != nil {
			return err
		}
	case json.Delim('{'):
		if err := p.object(d); err != nil {
			return err
		}
	default:
		return p.fail(ErrManifest, "", "", "it is neither an object nor a list of groups", "name the model.json of a TensorFlow.js model")
	}
	if _, err := d.Token(); err != io.EOF { //nolint:errorlint // json.Decoder returns io.EOF itself
		return p.fail(ErrManifest, "", "", "text after its end", fixDownload)
	}
	return nil
}

// json wraps an error of the JSON decoder.
func (p *parser) json(field string, err error) error {
	if typed := new(Error); errors.As(err, &typed) {
		return err
	}
	return &Error{File: p.file.path, Field: field, Kind: ErrManifest, Err: err, Fix: fixDownload}
}

func (p *parser) object(d *json.Decoder) error {
	keys := map[string]bool{}
	found := false
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return p.json("", err)
		}
		key, _ := token.(string)
		if keys[key] {
			return p.fail(ErrDuplicate, "", printable.Quote(key), "", fixDownload)
		}
		keys[key] = true
		if len(keys) > 1000 {
			return p.fail(ErrLimit, "", "", "more than 1000 keys", fixDownload)
		}
		if key == "weightsManifest" {
			found = true
			if err := p.open(d, '[', key); err != nil {
				return err
			}
			if err := p.list(d, p.group); err != nil {
				return err
			}
			continue
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return p.json(key, err)
		}
		p.note(key, value)
	}
	if _, err := d.Token(); err != nil {
		return p.json("", err)
	}
	if !found {
		return p.fail(ErrManifest, "", "weightsManifest", "it is missing", "name the model.json of a TensorFlow.js model")
	}
	return nil
}

// note keeps what describes the model.
func (p *parser) note(key string, value json.RawMessage) {
	switch key {
	case "modelTopology", "signature", "trainingConfig":
		p.file.topology = p.file.topology || key == "modelTopology"
		return
	}
	text := ""
	if json.Unmarshal(value, &text) != nil {
		text = string(value)
	}
	if len(text) <= 4096 && text != "null" {
		p.file.meta[key] = text
	}
}

func (p *parser) open(d *json.Decoder, delim json.Delim, field string) error {
	token, err := d.Token()
	if err != nil {
		return p.json(field, err)
	}
	if token != delim {
		return p.fail(ErrManifest, "", field, fmt.Sprintf("want %q, got %v", delim.String(), token), fixConvert)
	}
	return nil
}

// list reads the rest of a list, an item at a time.
func (p *parser) list(d *json.Decoder, item func(*json.Decoder) error) error {
	for d.More() {
		if err := item(d); err != nil {
			return err
		}
	}
	_, err := d.Token()
	if err != nil {
		return p.json("", err)
	}
	return nil
}

func (p *parser) group(d *json.Decoder) error {
	const field = "weightsManifest"
	if err := p.open(d, '{', field); err != nil {
		return err
	}
	var paths []string
	index := len(p.groups)
	had := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return p.json(field, err)
		}
		key, _ := token.(string)
		if had[key] && (key == "paths" || key == "weights") {
			return p.fail(ErrDuplicate, "", printable.Quote(key), "", fixDownload)
		}
		switch key {
		case "paths":
			had[key] = true
			if err := p.open(d, '[', key); err != nil {
				return err
			}
			err = p.list(d, func(d *json.Decoder) error {
				token, err := d.Token()
				if err != nil {
					return p.json(key, err)
				}
				path, ok := token.(string)
				if !ok {
					return p.fail(ErrManifest, "", key, fmt.Sprintf("want text, got %v", token), fixConvert)
				}
				paths = append(paths, path)
				return p.charge(200 + int64(len(path)))
			})
		case "weights":
			had[key] = true
			if err := p.open(d, '[', key); err != nil {
				return err
			}
			err = p.list(d, func(d *json.Decoder) error { return p.weight(d, index) })
		default:
			var skip json.RawMessage
			err = d.Decode(&skip)
		}
		if err != nil {
			return p.json(key, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return p.json(field, err)
	}
	if !had["paths"] || !had["weights"] {
		return p.fail(ErrManifest, "", field, fmt.Sprintf("group %d lacks paths or weights", index+1), fixConvert)
	}
	p.groups = append(p.groups, paths)
	return p.charge(100)
}

// charge counts bytes that stay allocated.
func (p *parser) charge(n int64) error {
	if p.budget -= n; p.budget < 0 {
		return p.fail(ErrLimit, "", "weightsManifest", "it asks for more memory than a file of this size may", fixDownload)
	}
	return nil
}

// members reads an object whose keys must differ.
func members(raw json.RawMessage, each func(key string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return errors.Join(errors.New("want an object"), err)
	}
	var seen []string
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if slices.Contains(seen, key) {
			return fmt.Errorf("key %s occurs twice", printable.Quote(key))
		}
		if seen = append(seen, key); len(seen) > 50 {
			return errors.New("more than 50 keys")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := each(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) weight(d *json.Decoder, group int) error {
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return p.json("weights", err)
	}
	w := &weight{group: group, elements: 1, shape: nil}
	haveShape, quantisation := false, json.RawMessage(nil)
	err := members(raw, func(key string, value json.RawMessage) error {
		switch key {
		case "name":
			return json.Unmarshal(value, &w.name)
		case "dtype":
			return json.Unmarshal(value, &w.dtype)
		case "quantization":
			quantisation = value
		case "shape":
			haveShape = true
			return w.readShape(value)
		}
		return nil
	})
	if err != nil {
		return &Error{File: p.file.path, Tensor: w.name, Field: "weights", Kind: ErrManifest, Err: err, Fix: fixConvert}
	}
	size, known := sizes[w.dtype]
	switch {
	case w.name == "" || !haveShape || w.dtype == "":
		return p.fail(ErrManifest, w.name, "weights", "want name, shape and dtype, one is missing", fixConvert)
	case p.seen[w.name]:
		return p.fail(ErrDuplicate, w.name, "", "", fixConvert)
	case !known:
		return p.fail(ErrManifest, w.name, "dtype", "unknown type "+printable.Quote(w.dtype), fixConvert)
	case len(quantisation) > 0 && string(quantisation) != "null":
		if err := w.readQuantisation(quantisation); err != nil {
			return &Error{File: p.file.path, Tensor: w.name, Field: "quantization", Kind: ErrManifest, Err: err, Fix: fixConvert}
		}
		size = sizes[w.stored]
	default:
		w.stored = w.dtype
	}
	if high, low := bits.Mul64(uint64(w.elements), uint64(size)); high != 0 || low > math.MaxInt64 {
		return p.fail(ErrManifest, w.name, "shape", fmt.Sprintf("%v has more than 2^63 bytes", w.shape), fixConvert)
	}
	w.end = w.elements * size // the place comes later
	p.seen[w.name] = true
	p.weights = append(p.weights, w)
	return p.charge(400 + 2*int64(len(w.name)) + 8*int64(len(w.shape)))
}

func (w *weight) readShape(raw json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return errors.New("shape is not a list")
	}
	w.shape = []int{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		number, ok := token.(json.Number)
		dim, err := strconv.ParseInt(number.String(), 10, 64)
		if !ok || err != nil || dim < 0 {
			return fmt.Errorf("shape: want whole numbers of at least 0, got %v", token)
		}
		if len(w.shape) == maxDims {
			return fmt.Errorf("shape: more than %d dimensions", maxDims)
		}
		high, low := bits.Mul64(uint64(w.elements), uint64(dim))
		if high != 0 || low > math.MaxInt64/16 {
			return errors.New("shape: more than 2^63 bytes")
		}
		w.shape, w.elements = append(w.shape, int(dim)), int64(low)
	}
	return nil
}

func (w *weight) readQuantisation(raw json.RawMessage) error {
	var haveScale, haveMin bool
	err := members(raw, func(key string, value json.RawMessage) error {
		switch key {
		case "dtype":
			return json.Unmarshal(value, &w.stored)
		case "scale":
			haveScale = true
			return json.Unmarshal(value, &w.scale)
		case "min":
			haveMin = true
			return json.Unmarshal(value, &w.min)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case w.dtype != "float32" && w.dtype != "int32":
		return fmt.Errorf("type %s cannot be quantised, float32 and int32 can", w.dtype)
	case w.stored == "float16" && w.dtype == "float32":
		return nil
	case w.stored != "uint8" && w.stored != "uint16":
		return fmt.Errorf("type %s, want uint8 or uint16, or float16 for float32", printable.Quote(w.stored))
	case !haveScale || !haveMin:
		return errors.New("want scale and min, one is missing")
	}
	w.quantised = true
	return nil
}
