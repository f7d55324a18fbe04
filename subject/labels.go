package subject

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// uint8Type is the type of inputs that are bytes.
const uint8Type = onnx.Uint8

// maxNames bounds the text of names; 21,000 take half a megabyte.
const maxNames = 4 << 20

// metadataLabels are the names of the classes that the metadata of a file has: a list or a table in JSON or as Python prints it, or names
// apart by commas or lines, under a key that says so.
func metadataLabels(metadata map[string]string) []string {
	for _, key := range []string{"names", "labels", "classes", "class_names", "id2label", "classlabels"} {
		text := strings.TrimSpace(metadata[key])
		if text == "" || len(text) > maxNames {
			continue
		}
		if names := namesIn(text); len(names) > 1 {
			return names
		}
	}
	return nil
}

// namesIn reads names from a text.
func namesIn(text string) []string {
	if text[0] == '[' || text[0] == '{' {
		for _, form := range []string{text, pythonAsJSON(text)} {
			if untrusted.CheckJSON("names", []byte(form), maxNames/8) != nil {
				return nil
			}
			var list []string
			if json.Unmarshal([]byte(form), &list) == nil {
				return list
			}
			var table map[string]string
			if json.Unmarshal([]byte(form), &table) == nil {
				return ofTable(table)
			}
		}
		return nil
	}
	cut := ","
	if strings.Contains(text, "\n") {
		cut = "\n"
	}
	var names []string
	for _, name := range strings.Split(text, cut) {
		names = append(names, strings.TrimSpace(name))
	}
	return names
}

// pythonAsJSON is a list or table as Python prints it, {0: 'cat', 1: 'dog'}, in JSON; what is no such text becomes another that is no JSON.
func pythonAsJSON(text string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == '\\' && i+1 < len(text):
			i++
			if text[i] == '\'' {
				b.WriteByte('\'')
				continue
			}
			b.WriteByte(c)
			b.WriteByte(text[i])
		case quote != 0 && c == quote:
			quote = 0
			b.WriteByte('"')
		case quote != 0 && c == '"':
			b.WriteString(`\"`)
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
			b.WriteByte('"')
		case quote == 0 && c >= '0' && c <= '9': // a key that is a number
			from := i
			for i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9' {
				i++
			}
			b.WriteString(strconv.Quote(text[from : i+1]))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ofTable are names in the order of their numbers; nil if these are not 0, 1, 2, ...
func ofTable(table map[string]string) []string {
	names := make([]string, len(table))
	for i := range names {
		name, ok := table[strconv.Itoa(i)]
		if !ok {
			return nil
		}
		names[i] = name
	}
	return names
}

// labelFiles are the names of files that have a class in each line.
var labelFiles = []string{"labels.txt", "classes.txt"}

// labelsBeside reads the names of the classes from a file beside a model: MODEL.labels.txt, labels.txt or classes.txt, a name in each line.
// Of a number of lines that is not that of the classes nothing is read.
func labelsBeside(path string, classes int) (names []string, from string, err error) {
	dir, base := filepath.Split(path)
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	for _, name := range append([]string{stem + ".labels.txt"}, labelFiles...) {
		file := filepath.Join(dir, name)
		text, err := untrusted.ReadFilled(file, maxNames)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, "", &fault.Input{File: file, Err: untrusted.Reason(err)}
		}
		var lines []string
		scan := bufio.NewScanner(bytes.NewReader(text))
		scan.Buffer(nil, maxNames)
		for scan.Scan() {
			if line := strings.TrimSpace(scan.Text()); line != "" {
				lines = append(lines, line)
			}
		}
		if len(lines) > 1 && (classes == 0 || len(lines) == classes) {
			return lines, name, nil
		}
	}
	return nil, "", nil
}

// timmLabels are the names that timm writes into its config.json.
func timmLabels(config *hf.Config) []string {
	for _, raw := range []json.RawMessage{config.Keys["label_names"], config.Keys["pretrained_cfg"]} {
		var list []string
		if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
			return list
		}
		var inner struct {
			Names []string `json:"label_names"`
		}
		if json.Unmarshal(raw, &inner) == nil && len(inner.Names) > 0 {
			return inner.Names
		}
	}
	return nil
}
