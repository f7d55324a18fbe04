package decoder

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Names of the tensors that stand for stretched positions in GGUF.
const (
	ropeFrequencies = "rope_freqs.weight"
	ropeLong        = "rope_factors_long.weight"
	ropeShort       = "rope_factors_short.weight"
)

func isRopeTensor(name string) bool {
	return slices.Contains([]string{ropeFrequencies, ropeLong, ropeShort}, name)
}

// readRope takes rotary positions: rope_theta and rope_scaling of older files, rope_parameters of newer ones, which may be one for each kind
// of layer.
func (c *Config) readRope(r *reader) {
	a := c.Architecture
	c.Theta = r.number("rope_theta", a.theta)
	if a.Type == "gemma3_text" {
		c.LocalTheta = r.number("rope_local_base_freq", 10000)
	}
	half := 1.0
	if a.Type == "phi" {
		half = 0.5
	}
	c.Rotary = r.number("partial_rotary_factor", half)
	var scaling, parameters map[string]json.RawMessage
	r.get("rope_scaling", &scaling)
	if r.get("rope_parameters", &parameters) {
		var full, local map[string]json.RawMessage
		inner := &reader{keys: parameters, err: r.err}
		if inner.get("full_attention", &full) {
			parameters = full
		}
		if inner.get("sliding_attention", &local) {
			localReader := &reader{keys: local, err: inner.err}
			c.LocalTheta = localReader.number("rope_theta", c.LocalTheta)
			inner.err = localReader.err
		}
		inner.keys = parameters
		c.Theta, c.Rotary = inner.number("rope_theta", c.Theta), inner.number("partial_rotary_factor", c.Rotary)
		r.err = inner.err
		scaling = parameters
	}
	if scaling == nil || r.err != nil {
		c.checkRotary(r)
		return
	}
	text, err := json.Marshal(scaling)
	rope := &Rope{}
	if err == nil {
		err = json.Unmarshal(text, rope)
	}
	if err != nil {
		r.refuse("rope_scaling", strict.Short(string(text)), "correct the value")
		return
	}
	if rope.Type == "" {
		(&reader{keys: scaling}).get("type", &rope.Type)
	}
	if rope.Original == 0 {
		r.get("original_max_position_embeddings", &rope.Original)
	}
	if rope.Type != "" && rope.Type != "default" {
		c.Rope = rope
		c.checkRope(r)
	}
	c.checkRotary(r)
}

// checkRotary refuses a share of a head that the other side does not know.
func (c *Config) checkRotary(r *reader) {
	a := c.Architecture
	if c.Rotary != 1 && a.Type != "phi" && a.Type != "phi3" {
		r.refuse("partial_rotary_factor", fmt.Sprintf("%g, the whole head turns in the %s of GGUF", c.Rotary, a.GGUF), fixKeep)
	}
	if n := c.rotaryDim(); r.err == nil && (n < 2 || n%2 != 0 || n > c.HeadDim) {
		r.refuse("partial_rotary_factor", fmt.Sprintf("%g of a head of %d", c.Rotary, c.HeadDim), "correct the value")
	}
}

// rotaryDim is how many values of a head turn.
func (c *Config) rotaryDim() int { return int(c.Rotary * float64(c.HeadDim)) }

// checkRope refuses stretches that programs that run GGUF do not know of the architecture, or not in this form.
func (c *Config) checkRope(r *reader) {
	a, s := c.Architecture, c.Rope
	bad := func(key, text string) { r.refuse("rope_scaling", key+": "+text, fixKeep) }
	switch s.Type {
	case "linear", "yarn", "dynamic":
		if !(s.Factor > 0) || math.IsInf(s.Factor, 0) {
			bad("factor", fmt.Sprint(s.Factor))
		}
	case "llama3":
		switch {
		case a.GGUF != "llama":
			bad("rope_type", "llama3, which the "+a.GGUF+" of GGUF does not have")
		case !(s.Factor > 0) || !(s.High > s.Low) || !(s.Low > 0) || s.Original < 1:
			bad("llama3", fmt.Sprintf("factor %g, low_freq_factor %g, high_freq_factor %g, original_max_position_embeddings %d", s.Factor, s.Low, s.High, s.Original))
		}
	case "longrope", "su":
		half := c.rotaryDim() / 2
		switch {
		case a.GGUF != "llama" && a.GGUF != "phi3":
			bad("rope_type", s.Type+", which the "+a.GGUF+" of GGUF does not have")
		case len(s.Long) != half || len(s.Short) != half:
			bad("long_factor", fmt.Sprintf("%d and %d of short_factor, %d values turn in a head", len(s.Long), len(s.Short), 2*half))
		case s.Original < 1:
			bad("original_max_position_embeddings", "it is missing")
		}
	default:
		bad("rope_type", strict.Short(s.Type))
	}
	c.checkRopeNumbers(r)
}

// checkRopeNumbers refuses numbers that float32, in which GGUF keeps them, does not hold, and those that such a key would be computed of.
func (c *Config) checkRopeNumbers(r *reader) {
	if r.err != nil {
		return
	}
	s := c.Rope
	numbers := slices.Concat([]float64{s.Factor, s.Low, s.High, s.Scale, s.ScaleAll}, s.Long, s.Short)
	for _, v := range []*float64{s.Attention, s.BetaFast, s.BetaSlow} {
		if v != nil {
			numbers = append(numbers, *v)
		}
	}
	for _, v := range numbers {
		if !holds(v) {
			r.refuse("rope_scaling", fmt.Sprintf("%g, which is more than float32 holds", v), "correct the value")
		}
	}
	if s.Original < 0 || s.Original > math.MaxInt32 {
		r.refuse("rope_scaling", fmt.Sprintf("original_max_position_embeddings: %d", s.Original), "correct the value")
	}

	remarks := c.Remarks
	keys := c.ropeKeys()
	c.Remarks = remarks // they are made again when the keys are
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if v, ok := keys[key].(float32); ok && !holds(float64(v)) {
			r.refuse("rope_scaling", fmt.Sprintf("%s would be %v in GGUF", key, v), "correct the values")
		}
	}
}

// ropeTensors are those that GGUF has in place of keys.
func (c *Config) ropeTensors() ([]Tensor, error) {
	s := c.Rope
	switch {
	case s == nil:
	case s.Type == "llama3":
		return []Tensor{computed(ropeFrequencies, c.llama3Factors(s))}, nil
	case s.Type == "longrope" || s.Type == "su":
		return []Tensor{computed(ropeLong, narrow(s.Long)), computed(ropeShort, narrow(s.Short))}, nil
	}
	return nil, nil
}

func computed(name string, values []float32) Tensor {
	return Tensor{Name: name, Shape: []int{len(values)}, Values: values}
}

func narrow(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

// llama3Factors are what frequency i of a head is divided by:
//
//	1                                        where its wave is shorter than Original / High
//	Factor                                   where it is longer than Original / Low
//	1 / ((1-s) / Factor + s)                 between, s = (Original / wave - Low) / (High - Low)
func (c *Config) llama3Factors(s *Rope) []float32 {
	out := make([]float32, c.HeadDim/2)
	for i := range out {
		wave := 2 * math.Pi * float64(float32(math.Pow(c.Theta, float64(2*i)/float64(c.HeadDim))))
		switch {
		case wave < float64(s.Original)/s.High:
			out[i] = 1
		case wave > float64(s.Original)/s.Low:
			out[i] = float32(s.Factor)
		default:
			smooth := (float64(s.Original)/wave - s.Low) / (s.High - s.Low)
			out[i] = float32(1 / ((1-smooth)/s.Factor + smooth))
		}
	}
	return out
}

// llama3Of finds the stretch that gives these factors; nil if there is none. Only the ratios of Original, Low and High show, so Low is 1.
func (c *Config) llama3Of(factors []float32) *Rope {
	if len(factors) != c.HeadDim/2 || len(factors) == 0 {
		return nil
	}
	factor := float64(slices.Max(factors))
	fits := func(s *Rope) bool {
		for i, want := range c.llama3Factors(s) {
			if d := math.Abs(float64(want - factors[i])); !(d <= 1e-4*float64(want)) {
				return false
			}
		}
		return true
	}
	for original := 8192; original > 0; original = next(original) { // as all models have it
		if s := (&Rope{Type: "llama3", Factor: factor, Low: 1, High: 4, Original: original}); fits(s) {
			return s
		}
	}
	return c.llama3Between(factors, factor, fits)
}

// next goes through the powers of two from 8192 up to 2^20, then from 16 on; 0 at the end.
func next(original int) int {
	switch original {
	case 1 << 20:
		return 16
	case 4096:
		return 0
	}
	return original * 2
}

// llama3Between solves for the two unknowns from two factors between the ends.
func (c *Config) llama3Between(factors []float32, factor float64, fits func(*Rope) bool) *Rope {
	var x, y []float64 // 1/wave, s
	for i, f := range factors {
		if v := float64(f); v > 1+1e-6 && v < factor*(1-1e-6) && factor > 1 {
			x = append(x, math.Pow(c.Theta, -float64(2*i)/float64(c.HeadDim))/(2*math.Pi))
			y = append(y, (1/v-1/factor)/(1-1/factor))
		}
	}
	if len(x) < 2 {
		return nil
	}
	last := len(x) - 1
	slope := (y[0] - y[last]) / (x[0] - x[last]) // Original / (High - Low)
	low := slope*x[0] - y[0]                     // Low / (High - Low)
	if !(slope > 0) || !(low > 0) {
		return nil
	}
	high := 1 + 1/low
	s := &Rope{Type: "llama3", Factor: factor, Low: 1, High: math.Round(high*1000) / 1000, Original: int(math.Round(slope * (high - 1)))}
	if s.Original < 1 || !fits(s) {
		return nil
	}
	return s
}

// ropeKeys are the keys of GGUF for stretched positions, behind "ARCHITECTURE.rope.scaling.".
func (c *Config) ropeKeys() map[string]any {
	s := c.Rope
	if s == nil {
		return nil
	}
	switch s.Type {
	case "linear":
		return map[string]any{"type": "linear", "factor": float32(s.Factor)}
	case "yarn":
		return c.yarnKeys(s)
	case "longrope", "su":
		attention := 1.0
		if stretch := float64(c.Positions) / float64(s.Original); stretch > 1 {
			attention = math.Sqrt(1 + math.Log(stretch)/math.Log(float64(s.Original)))
		}
		if s.Attention != nil {
			attention = *s.Attention
		}
		return map[string]any{"type": "longrope", "original_context_length": uint32(s.Original), "attn_factor": float32(attention)}
	case "dynamic":
		c.remark("rotary positions are stretched by the length of the text (dynamic), which GGUF has no word for: texts beyond %d tokens differ", c.Positions)
	}
	return nil
}

// magnitude is yarn's factor on queries and keys.
func magnitude(factor, scale float64) float64 {
	if factor <= 1 {
		return 1
	}
	return 0.1*scale*math.Log(factor) + 1
}

func (c *Config) yarnKeys(s *Rope) map[string]any {
	original := s.Original
	if original == 0 {
		original = c.Positions
	}
	keys := map[string]any{"type": "yarn", "factor": float32(s.Factor), "original_context_length": uint32(original)}
	usual, attention := magnitude(s.Factor, 1), magnitude(s.Factor, 1)
	if s.Scale != 0 && s.ScaleAll != 0 {
		attention = magnitude(s.Factor, s.Scale) / magnitude(s.Factor, s.ScaleAll)
	}
	if s.Attention != nil {
		attention = *s.Attention
	}
	if attention != usual { // programs multiply the usual one by it
		keys["attn_factor"], keys["yarn_attn_factor"] = float32(attention/usual), float32(attention)
	}
	for key, v := range map[string]*float64{"yarn_beta_fast": s.BetaFast, "yarn_beta_slow": s.BetaSlow} {
		if v != nil {
			keys[key] = float32(*v)
		}
	}
	if s.BetaFast != nil && *s.BetaFast != 32 || s.BetaSlow != nil && *s.BetaSlow != 1 {
		c.remark("yarn's beta_fast and beta_slow are not the usual 32 and 1: llama.cpp reads them of few architectures, and of %s it takes the usual ones", c.Architecture.GGUF)
	}
	return keys
}
