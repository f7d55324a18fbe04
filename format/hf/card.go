package hf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// CardFile is the name of a model card in a model's folder.
const CardFile = "README.md"

// maxCard bounds a model card.
const maxCard = 4 << 20

// Card is a model card: front matter for programs, between two lines of "---", and text for people. Bytes gives it back as
// it was, so that a conversion loses nothing.
type Card struct {
	Licence    string   // license, "" if the card does not say
	BaseModels []string // base_model: what it was made from
	Tags       []string // tags
	Languages  []string // language
	Datasets   []string // datasets
	Library    string   // library_name
	Task       string   // pipeline_tag
	Text       string   // what follows the front matter

	raw string
}

// LoadCard reads a model card. As with LoadConfig, it may not be a link that leads out of its folder.
func LoadCard(path string) (*Card, error) {
	data, err := read(path, maxCard)
	if err != nil {
		return nil, err
	}
	c, err := ParseCard(data)
	if typed := new(Error); errors.As(err, &typed) {
		typed.File = path
	}
	return c, err
}

// ParseCard reads the text of a model card. A card without front matter is text alone.
func ParseCard(data []byte) (*Card, error) {
	if len(data) > maxCard {
		return nil, &Error{Kind: ErrLimit, Text: fmt.Sprintf("more than %d bytes", maxCard), Fix: fixDownload}
	}
	text := string(data)
	c := &Card{raw: text, Text: text}
	first, rest, _ := strings.Cut(strings.TrimPrefix(text, "\ufeff"), "\n")
	if strings.TrimRight(first, " \r") != "---" {
		return c, nil
	}
	front := map[string][]string{}
	key := ""
	for {
		line, after, more := strings.Cut(rest, "\n")
		line = strings.TrimRight(line, " \r")
		if line == "---" {
			c.Text = after
			break
		}
		if !more {
			return nil, &Error{Kind: ErrCard, Text: "the front matter has no end", Fix: "close it with a line of ---"}
		}
		rest = after
		key = frontLine(front, key, line)
	}
	one := func(key string) string {
		if len(front[key]) == 1 {
			return front[key][0]
		}
		return ""
	}
	c.Licence, c.Library, c.Task = one("license"), one("library_name"), one("pipeline_tag")
	c.BaseModels, c.Tags, c.Languages, c.Datasets = front["base_model"], front["tags"], front["language"], front["datasets"]
	return c, nil
}

// wanted are the keys of the front matter that are read.
var wanted = []string{"license", "library_name", "pipeline_tag", "base_model", "tags", "language", "datasets"}

// frontLine reads one line of the front matter, which stands under key, and returns the key that the next one stands under.
// Of YAML it takes what cards use for these keys, text and lists of texts; everything else is passed over, so that a card can
// be carried along whatever is in it.
func frontLine(front map[string][]string, key, line string) string {
	if item, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "- "); ok && key != "" {
		if text := plain(item); text != "" && len(front[key]) < 1000 {
			front[key] = append(front[key], text)
		}
		return key
	}
	if line == "" || line[0] == ' ' || line[0] == '#' || line[0] == '\t' {
		return key
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok || !slices.Contains(wanted, name) || front[name] != nil {
		return ""
	}
	value = strings.TrimSpace(value)
	if list, ok := strings.CutPrefix(value, "["); ok {
		for item := range strings.SplitSeq(strings.TrimSuffix(list, "]"), ",") {
			if text := plain(item); text != "" && len(front[name]) < 1000 {
				front[name] = append(front[name], text)
			}
		}
		return ""
	}
	if text := plain(value); text != "" {
		front[name] = []string{text}
		return ""
	}
	return name
}

// plain is the text of a scalar without quotes and remarks.
func plain(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	if i := strings.Index(s, " #"); i >= 0 {
		s = strings.TrimSpace(s[:i])
	}
	if strings.HasPrefix(s, "#") || strings.HasPrefix(s, "{") || s == "null" || s == "|" || s == ">" {
		return ""
	}
	return s
}

// Bytes returns the card as it was read.
func (c *Card) Bytes() []byte { return []byte(c.raw) }
