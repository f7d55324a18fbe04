package adapter

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// modelFiles are the names of an adapter's tensors, in the order they are looked for.
var modelFiles = []string{"adapter_model.safetensors", "adapter_model.bin"}

// Adapter is an adapter as its file has it.
type Adapter struct {
	Config  Config
	Path    string // of its folder
	file    weights.File
	modules map[string]*module // by name in the base
	order   []string           // of the modules
	whole   map[string]string  // tensors of the base that are replaced -> the adapter's name
}

// module is what an adapter has for one module: names of its tensors, "" for none.
type module struct {
	a, b, bias, magnitude string
	base                  string // in place of the base's weight: trained whole, or with more rows
	embedding             bool
}

// Is reports whether a folder holds an adapter.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ConfigFile))
	return err == nil
}

// Open reads the configuration of the adapter in a folder, and what tensors it has. Close it, unless On has made a file of it: that closes it.
func Open(dir string) (*Adapter, error) {
	config, err := loadConfig(dir)
	if err != nil {
		return nil, err
	}
	file, err := openTensors(dir)
	if err != nil {
		return nil, err
	}
	a := &Adapter{Config: config, Path: dir, file: file, modules: map[string]*module{}, whole: map[string]string{}}
	if err := a.sort(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return a, nil
}

func openTensors(dir string) (weights.File, error) {
	for _, name := range modelFiles {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			continue
		}
		path, err := untrusted.Inside(dir, name)
		if err != nil {
			return nil, fmt.Errorf("adapter: %w", err)
		}
		return weights.Open(path)
	}
	return nil, &fault.Input{File: dir, Err: fmt.Errorf("it has %s and neither of %s", ConfigFile, strings.Join(modelFiles, ", ")), Fix: "get the adapter again"}
}

// Close closes the adapter's file.
func (a *Adapter) Close() error { return a.file.Close() }

// Files are what the adapter is read from.
func (a *Adapter) Files() []string {
	return append([]string{filepath.Join(a.Path, ConfigFile)}, weights.Files(a.file)...)
}

// The names of an adapter's tensors: a module's name, the part, sometimes the adapter's own name, and sometimes what kind of parameter it is.
var (
	partPattern  = regexp.MustCompile(`^(.+)\.lora_(A|B)(?:\.default)?\.(weight|bias)$`)
	embedPattern = regexp.MustCompile(`^(.+)\.lora_embedding_(A|B)(?:\.default)?$`)
	magnitude    = regexp.MustCompile(`^(.+)\.lora_magnitude_vector(?:\.default)?(?:\.weight)?$`)
	savedPattern = regexp.MustCompile(`^(.+)\.modules_to_save(?:\.default)?\.(.+)$`)
	basePattern  = regexp.MustCompile(`^(.+)\.base_layer\.(weight|bias)$`)
	oddPattern   = regexp.MustCompile(`lora_|token_adapter|trainable_tokens|original_module|base_layer|\.alpha$|hada_|lokr_|ia3_`)
)

// wrapper begins the names of what peft has wrapped.
const wrapper = "base_model.model."

// sort finds what each tensor is for.
func (a *Adapter) sort() error {
	for _, t := range a.file.Tensors() {
		name := strings.TrimPrefix(t.Name, wrapper)
		if m := partPattern.FindStringSubmatch(name); m != nil {
			switch m[2] + " " + m[3] {
			case "A weight":
				a.of(m[1]).a = t.Name
				continue
			case "B weight":
				a.of(m[1]).b = t.Name
				continue
			case "B bias":
				a.of(m[1]).bias = t.Name
				continue
			}
		}
		if m := embedPattern.FindStringSubmatch(name); m != nil {
			of := a.of(m[1])
			of.embedding = true
			if m[2] == "A" {
				of.a = t.Name
			} else {
				of.b = t.Name
			}
			continue
		}
		if m := magnitude.FindStringSubmatch(name); m != nil {
			a.of(m[1]).magnitude = t.Name
			continue
		}
		if m := savedPattern.FindStringSubmatch(name); m != nil {
			name = m[1] + "." + m[2]
		}
		if m := basePattern.FindStringSubmatch(name); m != nil {
			name = m[1] + "." + m[2]
			if m[2] == "weight" {
				a.of(m[1]).base = t.Name
				continue
			}
		}
		if oddPattern.MatchString(name) {
			return a.wrong(t.Name, "it is not a known part of an adapter", fixMerge)
		}
		a.whole[name] = t.Name
	}
	return a.complete()
}

// complete refuses modules that lack a part, and parts that the configuration does not speak of.
func (a *Adapter) complete() error {
	if len(a.modules)+len(a.whole) == 0 {
		return a.wrong("", "it has no tensors", "get the adapter again")
	}
	for _, saved := range a.Config.Whole {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(a.whole)), func(name string) bool { return strings.Contains("."+name, "."+saved+".") }) {
			return a.wrong("", fmt.Sprintf("modules_to_save names %s, but the adapter has no tensor of it", printable.Quote(saved)), "get the adapter again")
		}
	}
	for _, name := range a.order {
		m := a.modules[name]
		switch {
		case m.a == "" || m.b == "":
			return a.wrong(name, "it has one of lora_A and lora_B without the other", "get the adapter again")
		case (m.magnitude != "") != a.Config.DoRA:
			return a.wrong(name, fmt.Sprintf("use_dora is %v, and a magnitude is there: %v", a.Config.DoRA, m.magnitude != ""), "get the adapter again")
		case m.embedding && m.magnitude != "":
			return a.wrong(name, "it is DoRA of an embedding, which is not applied here", fixMerge)
		case (m.bias != "") != a.Config.LoRABias:
			return a.wrong(name, fmt.Sprintf("lora_bias is %v, and lora_B.bias is there: %v", a.Config.LoRABias, m.bias != ""), "get the adapter again")
		}
	}
	return nil
}

func (a *Adapter) of(name string) *module {
	m := a.modules[name]
	if m == nil {
		m = &module{}
		a.modules[name] = m
		a.order = append(a.order, name)
	}
	return m
}

func (a *Adapter) wrong(field, text, fix string) error {
	return &fault.Input{File: a.file.Path(), Field: field, Err: errors.New(text), Fix: fix}
}

// read returns the values of one of the adapter's tensors, and its shape.
func (a *Adapter) read(name string) (values []float32, shape []int, err error) {
	info, _ := a.file.Info(name)
	if err := memory.Need(fmt.Sprintf("tensor %s of an adapter", printable.Line(name)), 4*int64(info.Elements)); err != nil {
		return nil, nil, err
	}
	values = make([]float32, info.Elements)
	if err := a.file.ReadFloat32s(name, 0, values); err != nil {
		return nil, nil, err
	}
	if !weights.AllFinite(values) {
		return nil, nil, a.wrong(name, "a value is NaN or infinite", "use an adapter whose training did not diverge")
	}
	return values, slices.Clone(info.Shape), nil
}
