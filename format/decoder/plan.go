package decoder

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Source is a tensor of the side that is translated.
type Source struct {
	Name  string
	Shape []int
}

// Tensor is a tensor of the other side, and what it is made of.
type Tensor struct {
	Name   string
	Shape  []int
	Parts  []Part
	Heads  int       // the rows of the one part are put into another order, a head at a time: see Row; 0 for none
	ToGGUF bool      // which way
	Shift  float32   // added to every value
	Values []float32 // of a tensor without parts, which is computed
}

// Part is a stretch of a source, in row-major order.
type Part struct {
	Name         string
	At, Elements int
}

// Row tells which row of a tensor with so many rows and heads becomes row r towards GGUF, or from it.
//
// GGUF's llama wants rotary positions that turn neighbouring values (2i, 2i+1) of a head, Hugging Face those that turn value i of the first
// half and of the second: for each head of d values, row 2i+j of GGUF's weights is row j d/2 + i of Hugging Face's, j = 0, 1.
func Row(r, rows, heads int, toGGUF bool) int {
	d := rows / heads
	head, at := r/d, r%d
	if toGGUF {
		return head*d + at%2*(d/2) + at/2
	}
	return head*d + at%(d/2)*2 + at/(d/2)
}

var (
	hfBlock   = regexp.MustCompile(`^(?:model\.)?layers\.(\d{1,6})\.(.+?)(\.weight|\.bias)$`)
	ggufBlock = regexp.MustCompile(`^blk\.(\d{1,6})\.(.+?)(\.weight|\.bias)$`)
	hfTop     = regexp.MustCompile(`^(?:model\.)?([^.]+)(\.weight|\.bias)$`)
	ggufTop   = regexp.MustCompile(`^([^.]+)(\.weight|\.bias)$`)
)

// stacked gathers the experts of a layer that become one tensor.
type stacked struct {
	tensor int
	parts  map[int]Source
}

// ToGGUF translates the tensors of a model of the config's type. remarks say what is left out since the other side does without.
func (c *Config) ToGGUF(sources []Source) (tensors []Tensor, remarks []string, err error) {
	a := c.Architecture
	extra, err := c.ropeTensors()
	if err != nil {
		return nil, nil, err
	}
	tensors = append(tensors, extra...)
	piles := map[string]*stacked{}
	var unknown []string
	layers, head := map[int]int{}, false // tensors of each layer
	for _, s := range sources {
		if strings.HasSuffix(s.Name, "rotary_emb.inv_freq") {
			remarks = append(remarks, s.Name+" is left out: the other side computes it")
			continue
		}
		name, layer, expert := a.toGGUF(s.Name)
		if name == "" {
			unknown = append(unknown, s.Name)
			continue
		}
		if layer >= 0 {
			layers[layer]++
		}
		if strings.HasPrefix(name, "output.") {
			if c.Tied || !a.head {
				if !c.Tied {
					return nil, nil, &Error{Tensor: s.Name, Field: "tie_word_embeddings", Kind: ErrConfig, Text: "false, the " + a.GGUF + " of GGUF has no output layer of its own",
						Fix: "convert with --keep-names, for tensors alone"}
				}
				remarks = append(remarks, s.Name+" is left out: config.json ties it to the embeddings")
				continue
			}
			head = true
		}
		if expert < 0 {
			tensors = append(tensors, c.plain(name, s))
			continue
		}
		pile := piles[name]
		if pile == nil {
			pile = &stacked{len(tensors), map[int]Source{}}
			piles[name] = pile
			tensors = append(tensors, Tensor{Name: name})
		}
		pile.parts[expert] = s
	}
	if len(unknown) > 0 {
		return nil, nil, &Error{Kind: ErrTensors, Text: fmt.Sprintf("the %s of GGUF has no place for %s", a.GGUF, some(unknown)), Fix: "take them out first, or convert with --keep-names, for tensors alone"}
	}
	if err := c.whole(layers, tensors); err != nil {
		return nil, nil, err
	}
	if !head && !c.Tied {
		remarks = append(remarks, "config.json says that the output layer is not tied to the embeddings, but there is none: programs that run GGUF take the embeddings")
	}
	for _, name := range slices.Sorted(maps.Keys(piles)) {
		if err := piles[name].stack(&tensors[piles[name].tensor], c.Experts); err != nil {
			return nil, nil, err
		}
	}
	return tensors, remarks, nil
}

// whole refuses a part of a model: layers are all there, and of as many tensors each.
func (c *Config) whole(layers map[int]int, tensors []Tensor) error {
	fail := func(format string, args ...any) error {
		return &Error{Field: "num_hidden_layers", Kind: ErrTensors, Text: fmt.Sprintf(format, args...), Fix: "convert the whole model, not one shard of it; or correct the config"}
	}
	if len(layers) != c.Layers {
		return fail("%d, the tensors are those of %d layers", c.Layers, len(layers))
	}
	for i := range c.Layers {
		if layers[i] != layers[0] || layers[i] == 0 {
			return fail("layer %d has %d tensors, layer 0 has %d", i, layers[i], layers[0])
		}
	}
	for _, name := range []string{"token_embd.weight", "output_norm.weight"} {
		if !slices.ContainsFunc(tensors, func(t Tensor) bool { return t.Name == name }) {
			return &Error{Kind: ErrTensors, Text: "there is none that would be " + name, Fix: "convert the whole model, not one shard of it"}
		}
	}
	return nil
}

// plain is a tensor that keeps its shape.
func (c *Config) plain(name string, s Source) Tensor {
	t := Tensor{Name: name, Shape: s.Shape, Parts: []Part{{s.Name, 0, product(s.Shape)}}, ToGGUF: true}
	if c.Architecture.shift != 0 && strings.HasSuffix(name, "norm.weight") {
		t.Shift = c.Architecture.shift
	}
	t.Heads = c.heads(name)
	return t
}

// heads is the number of heads of a tensor of GGUF whose rows stand in another order, else 0.
func (c *Config) heads(name string) int {
	if !c.Architecture.interleaved {
		return 0
	}
	switch m := ggufBlock.FindStringSubmatch(name); {
	case m == nil:
	case m[2] == "attn_q":
		return c.Heads
	case m[2] == "attn_k":
		return c.KeyValueHeads
	}
	return 0
}

// stack makes one tensor of all experts, in their order.
func (s *stacked) stack(t *Tensor, experts int) error {
	if len(s.parts) != experts {
		return &Error{Tensor: t.Name, Field: "experts", Kind: ErrTensors, Text: fmt.Sprintf("%d experts, the config says %d", len(s.parts), experts), Fix: "convert the whole model, not one shard of it; or correct the config"}
	}
	for i := range experts {
		part, ok := s.parts[i]
		switch {
		case !ok:
			return &Error{Tensor: t.Name, Field: "experts", Kind: ErrTensors, Text: fmt.Sprintf("expert %d is missing", i), Fix: "convert the whole model, not one shard of it"}
		case i > 0 && !slices.Equal(part.Shape, s.parts[0].Shape):
			return &Error{Tensor: part.Name, Field: "shape", Kind: ErrTensors, Text: fmt.Sprintf("%v, the first expert's is %v", part.Shape, s.parts[0].Shape), Fix: "get the model again"}
		}
		t.Parts = append(t.Parts, Part{part.Name, 0, product(part.Shape)})
	}
	t.Shape = append([]int{experts}, s.parts[0].Shape...)
	return nil
}

// toGGUF translates one name of Hugging Face: the layer is -1 outside the layers, the expert where the tensor is none of one; "" for a name
// that is not known.
func (a *Architecture) toGGUF(name string) (renamed string, layer, expert int) {
	m := hfBlock.FindStringSubmatch(name)
	if m == nil {
		if t := hfTop.FindStringSubmatch(name); t != nil && a.top[t[1]] != "" {
			return a.top[t[1]] + t[2], -1, -1
		}
		return "", -1, -1
	}
	layer, _ = strconv.Atoi(m[1])
	if part, ok := a.block[m[2]]; ok {
		return "blk." + m[1] + "." + part + m[3], layer, -1
	}
	if number, part, ok := a.ofExpert(m[2]); ok {
		return "blk." + m[1] + "." + a.experts[part] + m[3], layer, number
	}
	return "", layer, -1
}

// ofExpert takes "mlp.experts.7.up_proj" apart.
func (a *Architecture) ofExpert(part string) (number int, name string, ok bool) {
	rest, ok := strings.CutPrefix(part, a.expert)
	if !ok || a.expert == "" {
		return 0, "", false
	}
	digits, name, ok := strings.Cut(rest, ".")
	number, err := strconv.Atoi(digits)
	return number, name, ok && err == nil && number >= 0 && a.experts[name] != ""
}

// FromGGUF translates the tensors of a GGUF file back.
func (c *Config) FromGGUF(sources []Source) (tensors []Tensor, remarks []string, err error) {
	a := c.Architecture
	var unknown []string
	for _, s := range sources {
		if isRopeTensor(s.Name) {
			remarks = append(remarks, s.Name+" is left out: the other side computes it")
			continue
		}
		name, expert := a.fromGGUF(s.Name)
		switch {
		case name == "":
			unknown = append(unknown, s.Name)
		case expert:
			if len(s.Shape) < 2 || s.Shape[0] != c.Experts {
				return nil, nil, &Error{Tensor: s.Name, Field: "shape", Kind: ErrTensors, Text: fmt.Sprintf("%v, the keys say %d experts", s.Shape, c.Experts), Fix: "get the file again"}
			}
			for i := range c.Experts {
				n := product(s.Shape[1:])
				tensors = append(tensors, Tensor{Name: strings.Replace(name, "*", strconv.Itoa(i), 1), Shape: s.Shape[1:], Parts: []Part{{s.Name, i * n, n}}})
			}
		default:
			t := Tensor{Name: name, Shape: s.Shape, Parts: []Part{{s.Name, 0, product(s.Shape)}}, Heads: c.heads(s.Name)}
			if a.shift != 0 && strings.HasSuffix(s.Name, "norm.weight") {
				t.Shift = -a.shift
			}
			tensors = append(tensors, t)
		}
	}
	if len(unknown) > 0 {
		return nil, nil, &Error{Kind: ErrTensors, Text: fmt.Sprintf("%s has no place for %s", a.Class, some(unknown)), Fix: "convert with --keep-names, for tensors alone"}
	}
	return tensors, remarks, nil
}

// fromGGUF translates one name of GGUF; * stands for the number of an expert.
func (a *Architecture) fromGGUF(name string) (renamed string, expert bool) {
	m := ggufBlock.FindStringSubmatch(name)
	if m == nil {
		if t := ggufTop.FindStringSubmatch(name); t != nil {
			switch theirs := keyOf(a.top, t[1]); theirs {
			case "":
			case "lm_head":
				return theirs + t[2], false
			default:
				return "model." + theirs + t[2], false
			}
		}
		return "", false
	}
	prefix := "model.layers." + m[1] + "."
	if theirs := keyOf(a.block, m[2]); theirs != "" {
		return prefix + theirs + m[3], false
	}
	if theirs := keyOf(a.experts, m[2]); theirs != "" {
		return prefix + a.expert + "*." + theirs + m[3], true
	}
	return "", false
}

// keyOf is the key of a value.
func keyOf(m map[string]string, value string) string {
	for k, v := range m {
		if v == value {
			return k
		}
	}
	return ""
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// some lists the first names of many.
func some(names []string) string {
	const most = 5
	text := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return cmp.Or(text, "nothing")
}
