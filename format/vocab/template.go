package vocab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/hf"
)

// Files and keys of chat templates.
const (
	TemplateFile = "chat_template.jinja"
	templateJSON = "chat_template.json"
	templateKey  = "tokenizer.chat_template"
	templatesKey = "tokenizer.chat_templates"
	usual        = "default"
)

// readTemplates finds the chat templates of a folder: those of tokenizer_config.json, else chat_template.jinja, else chat_template.json.
func readTemplates(dir string, s *settings) ([]Template, error) {
	if len(s.Template) > 0 && string(s.Template) != "null" {
		return templatesOf(settingsFile, s.Template)
	}
	text, err := hf.ReadCompanion(dir, TemplateFile)
	if err == nil {
		return []Template{{usual, string(text)}}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var file struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if ok, err := readJSON(dir, templateJSON, &file); err != nil || !ok || len(file.Template) == 0 {
		return nil, err
	}
	return templatesOf(templateJSON, file.Template)
}

// templatesOf reads a template, a list of {name, template}, or names and templates.
func templatesOf(file string, raw json.RawMessage) ([]Template, error) {
	var one string
	var list []Template
	var named map[string]string
	switch {
	case json.Unmarshal(raw, &one) == nil:
		return []Template{{usual, one}}, nil
	case json.Unmarshal(raw, &list) == nil:
		return list, nil
	case json.Unmarshal(raw, &named) == nil:
		for name, text := range named {
			list = append(list, Template{name, text})
		}
		slices.SortFunc(list, func(a, b Template) int { return strings.Compare(a.Name, b.Name) })
		return list, nil
	}
	return nil, fmt.Errorf("%s: chat_template is neither a text nor a list of names and texts", file)
}

// Templates reads the chat templates of a folder; none where it has none.
func Templates(dir string) ([]Template, error) {
	s, err := readSettings(dir)
	if err != nil {
		return nil, err
	}
	return readTemplates(dir, s)
}

// TemplateKeys are the keys of GGUF for chat templates.
func TemplateKeys(list []Template) map[string]any {
	keys := map[string]any{}
	var names []string
	for _, t := range list {
		if t.Name == usual || t.Name == "" {
			keys[templateKey] = t.Text
			continue
		}
		name := strings.Map(func(r rune) rune {
			if r < 128 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
				return r
			}
			return '_'
		}, t.Name)
		keys[templateKey+"."+name] = t.Text
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		keys[templatesKey] = names
	}
	return keys
}

// TemplatesOf are the templates that the keys of a GGUF file say; value gives one, nil where there is none.
func TemplatesOf(value func(key string) any) []Template {
	var out []Template
	if text, ok := value(templateKey).(string); ok {
		out = append(out, Template{usual, text})
	}
	names, _ := value(templatesKey).([]string)
	for _, name := range names {
		if text, ok := value(templateKey + "." + name).(string); ok {
			out = append(out, Template{name, text})
		}
	}
	return out
}
