package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
)

// AutoTemplate chooses the chat template that most of the models have.
const AutoTemplate = "auto"

// The files of a tokenizer that hold a chat template.
const (
	templateFile        = "chat_template.jinja"
	tokenizerConfigFile = "tokenizer_config.json"
	templateKey         = "chat_template" // of the latter
)

// templates are chat templates that recipes name, in Jinja.
var templates = map[string]string{
	"chatml": `{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`,
	"llama3": `{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}` +
		`{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}`,
	"alpaca": `{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] + '\n\n' }}` +
		`{% elif m['role'] == 'user' %}{{ '### Instruction:\n' + m['content'] + '\n\n' }}` +
		`{% elif m['role'] == 'assistant' %}{{ '### Response:\n' + m['content'] + '\n\n' }}{% endif %}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}`,
	"mistral": `{{ bos_token }}{% set system = '' %}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}{% endif %}` +
		`{% for m in messages %}{% if m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}` +
		`{% elif m['role'] == 'user' %}{{ '[INST] ' + (system if loop.index0 < 2 else '') + m['content'] + ' [/INST]' }}{% endif %}{% endfor %}`,
	"exaone": `{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ '[|system|][|endofturn|]\n' }}{% endif %}` +
		`{{ '[|' + m['role'] + '|]' + m['content'] }}{% if m['role'] == 'user' %}{{ '\n' }}{% else %}{{ '[|endofturn|]\n' }}{% endif %}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}`,
}

// checkTemplate refuses a chat template that is neither a name nor Jinja.
func checkTemplate(text string) error {
	if text == "" || text == AutoTemplate || templates[text] != "" {
		return nil
	}
	const least = 20 // characters of a template that says anything
	if len(text) >= least && strings.Contains(text, "{") {
		return nil
	}
	names := append(slices.Sorted(maps.Keys(templates)), AutoTemplate)
	if near, ok := strict.Nearest(text, names); ok {
		return fmt.Errorf("chat_template: no template %q; did you mean %q?", strict.Short(text), near)
	}
	return fmt.Errorf("chat_template: no template %q; write one in Jinja, or use %s", strict.Short(text), strings.Join(names, ", "))
}

// planTemplate finds the chat template of the output, if the recipe asks for another than its tokenizer has.
func (p *Plan) planTemplate() error {
	text := p.Recipe.ChatTemplate
	if text == "" {
		return nil
	}
	if p.single() {
		return &fault.Input{Field: "chat_template", Err: errors.New("it belongs to a tokenizer, and a single file has none beside it"), Fix: "name a folder as the output, or leave it out"}
	}
	if text != AutoTemplate {
		p.template = text
		if named := templates[text]; named != "" {
			p.template = named
		}
		return nil
	}

	count := map[string]int{}
	for _, in := range p.Inputs {
		own, err := templateOf(in)
		if err != nil {
			return err
		}
		if own == "" {
			continue
		}
		if count[own]++; count[own] > count[p.template] { // of equally frequent ones the first
			p.template = own
		}
	}
	if p.template == "" {
		p.note("chat_template: none of the models has one to choose")
		return nil
	}
	p.note("chat_template: the one that %d of %d models have is taken, it begins with %q", count[p.template], len(p.Inputs), printable.Line(strict.Short(p.template)))
	return nil
}

// templateOf is the chat template of a model, "" where it has none.
func templateOf(in *Input) (string, error) {
	if file, ok := weights.AsGGUF(in.file); ok {
		for key, value := range file.All() {
			if text, ok := value.(string); ok && key == "tokenizer.chat_template" {
				return strings.TrimSpace(text), nil
			}
		}
		return "", nil
	}
	text, err := hf.ReadCompanion(in.dir(), templateFile)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		text, err = hf.ReadCompanion(in.dir(), tokenizerConfigFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", &fault.Input{File: in.Path, Field: "chat_template", Err: err}
	}

	var config struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return "", &fault.Input{File: in.dir(), Field: tokenizerConfigFile, Err: err, Fix: "get it again"}
	}
	var one string
	var several []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if json.Unmarshal(config.Template, &one) != nil && json.Unmarshal(config.Template, &several) == nil {
		for _, t := range several {
			if t.Name == "default" {
				one = t.Template
			}
		}
	}
	return strings.TrimSpace(one), nil
}

// withTemplate is a tokenizer_config.json with the chat template of the output, for tools that do not read the file that holds it.
func (p *Plan) withTemplate(text []byte) ([]byte, error) {
	config := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	template, err := json.Marshal(p.template)
	if err != nil {
		return nil, err
	}
	config[templateKey] = template
	out, err := json.MarshalIndent(config, "", "  ")
	return append(out, '\n'), err
}
