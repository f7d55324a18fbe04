package onnxrun

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/onnx"
)

// perFeature calls f with each element of x, its feature, which is the place in the last axis, and what a list has for that: one entry
// serves all features.
func (c *call) perFeature(x []float64, d []int, lists ...[]float64) func(i, list int) float64 {
	features := 1
	if len(d) > 0 {
		features = d[len(d)-1]
	}
	for _, l := range lists {
		need(len(l) == 1 || len(l) == features, "%d numbers for %d features", len(l), features)
	}
	c.gone(len(x))
	return func(i, list int) float64 {
		if len(lists[list]) == 1 {
			return lists[list][0]
		}
		return lists[list][i%features]
	}
}

// scaler is (x - offset) scale.
func scaler(c *call) []*tensors.Tensor {
	x, d := c.floats(0), c.dims(0)
	at := c.perFeature(x, d, c.numbers("offset"), c.numbers("scale"))
	for i, v := range x {
		x[i] = float64(float32(float32(v)-float32(at(i, 0)))) * at(i, 1)
	}
	return []*tensors.Tensor{made(dtypes.Float32, x, d...)}
}

// normalizer divides each row by its largest number, by the sum of its sizes (L1) or by its length (L2). A row of zeros stays.
func normalizer(c *call) []*tensors.Tensor {
	x, n, features := c.rows(0, false)
	c.gone(len(x))
	for i := range n {
		row := x[i*features : (i+1)*features]
		sum := 0.0
		switch c.text("norm", "MAX") {
		case "MAX":
			if len(row) > 0 {
				sum = slices.Max(row)
			}
		case "L1":
			for _, v := range row {
				sum += math.Abs(v)
			}
		case "L2":
			for _, v := range row {
				sum += v * v
			}
			sum = math.Sqrt(sum)
		}
		for j := range row {
			if sum != 0 {
				row[j] /= sum
			}
		}
	}
	return []*tensors.Tensor{made(dtypes.Float32, x, c.dims(0)...)}
}

// imputer puts numbers in place of one that stands for what is missing.
func imputer(c *call) []*tensors.Tensor {
	t, d := c.dtype(0), c.dims(0)
	if !t.IsFloat() {
		return []*tensors.Tensor{c.imputedInts()}
	}
	x := c.floats(0)
	missing := c.float("replaced_value_float", 0)
	at := c.perFeature(x, d, c.numbers("imputed_value_floats"))
	for i, v := range x {
		if v == missing || math.IsNaN(v) && math.IsNaN(missing) {
			x[i] = at(i, 0)
		}
	}
	return []*tensors.Tensor{made(t, x, d...)}
}

func (c *call) imputedInts() *tensors.Tensor {
	x, list, missing := slices.Clone(c.ints(0)), c.list("imputed_value_int64s"), c.int("replaced_value_int64", 0)
	d := c.dims(0)
	features := 1
	if len(d) > 0 {
		features = d[len(d)-1]
	}
	need(len(list) == 1 || len(list) == features, "%d imputed_value_int64s for %d features", len(list), features)
	c.gone(len(x))
	for i, v := range x {
		if v == missing {
			x[i] = list[i%features%len(list)]
		}
	}
	return madeInts(c.dtype(0), x, d...)
}

// madeInts is a tensor of integers, cut to their type.
func madeInts(d dtypes.DType, values []int, dims ...int) *tensors.Tensor {
	size := d.Size()
	raw := make([]byte, size*len(values))
	for i, v := range values {
		for k := range size {
			raw[i*size+k] = byte(uint64(v) >> (8 * k))
		}
	}
	return ofBytes(d, raw, dims...)
}

// binarizer is 1 where x is above a threshold, else 0.
func binarizer(c *call) []*tensors.Tensor {
	x := c.floats(0)
	c.gone(len(x))
	for i, v := range x {
		x[i] = 0
		if v > c.float("threshold", 0) {
			x[i] = 1
		}
	}
	return []*tensors.Tensor{made(c.dtype(0), x, c.dims(0)...)}
}

// arrayFeatures takes elements of the last axis.
func arrayFeatures(c *call) []*tensors.Tensor {
	x := c.known(0)
	d := slices.Clone(x.Shape().Dimensions)
	need(len(d) >= 1, "it takes one axis or more, got one number")
	at := c.ints(1)
	n := d[len(d)-1]
	need(len(at) > 0, "no features are asked for")
	for _, i := range at {
		need(i >= 0 && i < n, "feature %d of %d", i, n)
	}
	rows := volumeOf(d[:len(d)-1])
	raw := slicesAt(bytesIn(x), at, rows, n, x.DType().Size())
	d[len(d)-1] = len(at)
	if len(d) == 1 {
		d = []int{1, len(at)}
	}
	return []*tensors.Tensor{ofBytes(x.DType(), raw, d...)}
}

// featureVectorizer puts the features of its inputs side by side, as many of each as inputdimensions says.
func featureVectorizer(c *call) []*tensors.Tensor {
	sizes := c.list("inputdimensions")
	need(len(sizes) == len(c.in), "inputdimensions %s for %d inputs", dimsText(sizes), len(c.in))
	width, n := 0, -1
	for _, s := range sizes {
		need(s >= 0 && s <= 1<<30, "inputdimensions %s", dimsText(sizes))
		width += s
	}
	var parts [][]float64
	var counts []int
	for i := range c.in {
		x, k, features := c.rows(i, false)
		need(n < 0 || n == k, "input %d has %d examples, input 0 has %d", i, k, n)
		n = k
		parts, counts = append(parts, x), append(counts, features)
	}
	room(dtypes.Float32, n, width)
	var y []float64
	for row := range n {
		for i, part := range parts {
			take := min(sizes[i], counts[i])
			y = append(y, part[row*counts[i]:row*counts[i]+take]...)
			y = append(y, make([]float64, sizes[i]-take)...)
		}
	}
	return []*tensors.Tensor{made(dtypes.Float32, y, n, width)}
}

// oneHotEncoder has, for each number, a 1 in the place of its category and 0 elsewhere.
func oneHotEncoder(c *call) []*tensors.Tensor {
	categories := c.list("cats_int64s")
	d := slices.Clone(c.dims(0))
	place := map[int]int{}
	for i, v := range categories {
		place[v] = i
	}
	shape := room(dtypes.Float32, append(d, len(categories))...)
	y := make([]float64, shape.Size())
	for i, v := range c.floats(0) {
		k, ok := place[int(v)]
		switch {
		case ok:
			y[i*len(categories)+k] = 1
		case c.int("zeros", 1) == 0:
			refuse("%v is none of the categories, and zeros = 0 asks for an error then", v)
		}
	}
	return []*tensors.Tensor{made(dtypes.Float32, y, shape.Dimensions...)}
}

// zipMap passes scores on: a map from the classes to a column each is a matrix here, whose columns are in the order of the classes.
func zipMap(c *call) []*value {
	n := len(c.list("classlabels_int64s")) + len(c.strings("classlabels_strings"))
	d := c.in[0].shape().Dimensions
	need(len(d) >= 1 && d[len(d)-1] == n, "%d names for scores %v", n, d)
	return []*value{c.in[0]}
}

// mapping is what a label encoder does: keys and values as texts that stand for numbers.
type mapping struct {
	keys, values []string
	otherwise    string
	d            dtypes.DType // of the values
}

// labelEncoder maps each number to another.
func labelEncoder(c *call) []*tensors.Tensor {
	m := once(c, c.mapping)
	to := map[string]string{}
	for i := len(m.keys) - 1; i >= 0; i-- { // the first of equal keys counts
		to[m.keys[i]] = m.values[i]
	}
	look := func(key string) string {
		if v, ok := to[key]; ok {
			return v
		}
		return m.otherwise
	}
	var out []string
	t := c.dtype(0)
	if t.IsFloat() {
		for _, v := range c.floats(0) {
			out = append(out, look(floatKey(v)))
		}
	} else {
		for _, v := range c.ints(0) {
			out = append(out, look(strconv.Itoa(v)))
		}
	}
	c.gone(len(out))
	return []*tensors.Tensor{m.tensor(out, c.dims(0))}
}

func (m *mapping) tensor(texts []string, dims []int) *tensors.Tensor {
	if m.d.IsFloat() {
		out := make([]float64, len(texts))
		for i, s := range texts {
			out[i] = parsed(s)
		}
		return made(m.d, out, dims...)
	}
	out := make([]int, len(texts))
	for i, s := range texts {
		out[i] = int(parsedInt(s))
	}
	return madeInts(m.d, out, dims...)
}

func parsed(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(err)
	}
	return v
}

func parsedInt(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return v
}

// mapping reads the attributes of either version: lists, or tensors.
func (c *call) mapping() *mapping {
	m := &mapping{}
	switch t := c.dtype(0); {
	case c.n.Attribute("keys_tensor") != nil:
		x, err := Tensor(c.n.Attribute("keys_tensor").Tensor)
		if err != nil {
			panic(err)
		}
		need(x.DType() == t, "keys of %s for an input of %s", x.DType(), t)
		m.keys = keysOf(x)
	case c.n.Attribute("keys_floats") != nil:
		need(t.IsFloat(), "keys_floats for an input of %s", t)
		for _, v := range c.numbers("keys_floats") {
			m.keys = append(m.keys, floatKey(v))
		}
		if c.build.of.Model.Opsets["ai.onnx.ml"] < 4 { // before, NaN was no key, as it equals nothing
			for i, k := range m.keys {
				if k == floatKey(math.NaN()) {
					m.keys[i] = ""
				}
			}
		}
	default:
		need(!t.IsFloat() && c.n.Attribute("keys_int64s") != nil, "no keys for an input of %s", t)
		for _, v := range c.list("keys_int64s") {
			m.keys = append(m.keys, strconv.Itoa(v))
		}
	}

	switch {
	case c.n.Attribute("values_tensor") != nil:
		x, err := Tensor(c.n.Attribute("values_tensor").Tensor)
		if err != nil {
			panic(err)
		}
		m.d = x.DType()
		m.values = textsOf(x)
		a := c.n.Attribute("default_tensor")
		m.otherwise = "0"
		if !m.d.IsFloat() {
			m.otherwise = "-1"
		}
		if a != nil {
			y, err := Tensor(a.Tensor)
			if err != nil {
				panic(err)
			}
			need(y.DType() == m.d && y.Shape().Size() == 1, "default_tensor is %s, want one %s", y.Shape(), m.d)
			m.otherwise = textsOf(y)[0]
		}
	case c.n.Attribute("values_floats") != nil:
		m.d, m.otherwise = dtypes.Float32, fmt.Sprint(c.float("default_float", 0))
		for _, v := range c.numbers("values_floats") {
			m.values = append(m.values, fmt.Sprint(v))
		}
	default:
		m.d, m.otherwise = dtypes.Int64, strconv.Itoa(c.int("default_int64", -1))
		for _, v := range c.list("values_int64s") {
			m.values = append(m.values, strconv.Itoa(v))
		}
	}
	need(len(m.keys) == len(m.values), "%d keys for %d values", len(m.keys), len(m.values))
	return m
}

// keysOf are a tensor's numbers as keys, textsOf as texts.
func keysOf(x *tensors.Tensor) []string {
	if !x.DType().IsFloat() {
		return textsOf(x)
	}
	var out []string
	for _, v := range (&call{in: []*value{{known: x}}}).floats(0) {
		out = append(out, floatKey(v))
	}
	return out
}

func textsOf(x *tensors.Tensor) (out []string) {
	if !x.DType().IsFloat() {
		for _, v := range tensorInts(x) {
			out = append(out, strconv.Itoa(v))
		}
		return out
	}
	for _, v := range (&call{in: []*value{{known: x}}}).floats(0) {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// numbersOnly refuses attributes that hold strings, which engines do not have.
func numbersOnly(names ...string) func(n *onnx.Node) string {
	return func(n *onnx.Node) string {
		for _, name := range names {
			a := n.Attribute(name)
			if a != nil && (len(a.Strings) > 0 || len(a.Bytes) > 0 || a.Tensor != nil && a.Tensor.Type == onnx.String) {
				return name + ": engines do not have strings"
			}
		}
		return ""
	}
}

func knownNorm(n *onnx.Node) string {
	if a := n.Attribute("norm"); a != nil && !slices.Contains([]string{"MAX", "L1", "L2"}, string(a.Bytes)) {
		return "norm " + string(a.Bytes) + " is not known"
	}
	return ""
}

func featureOps() map[string]operator {
	encoder := numbersOnly("keys_strings", "values_strings", "keys_tensor", "values_tensor", "default_tensor",
		"default_string", "classes_strings")
	return map[string]operator{
		"ai.onnx.ml.Scaler":     hosted(scaler).takes("offset", "scale"),
		"ai.onnx.ml.Normalizer": hosted(normalizer).unless(knownNorm).takes("norm"),
		"ai.onnx.ml.Imputer": hosted(imputer).unlessTypes(replacedOfInput).
			takes("imputed_value_floats", "imputed_value_int64s", "replaced_value_float", "replaced_value_int64"),
		"ai.onnx.ml.Binarizer":             hosted(binarizer).takes("threshold"),
		"ai.onnx.ml.ArrayFeatureExtractor": hosted(arrayFeatures).takes(),
		"ai.onnx.ml.FeatureVectorizer":     hosted(featureVectorizer).takes("inputdimensions"),
		"ai.onnx.ml.OneHotEncoder":         hosted(oneHotEncoder).unless(numbersOnly("cats_strings")).takes("cats_int64s", "cats_strings", "zeros"),
		"ai.onnx.ml.ZipMap":                seen(zipMap).takes("classlabels_int64s", "classlabels_strings"),
		"ai.onnx.ml.LabelEncoder": hosted(labelEncoder).unless(encoder).unlessTypes(keysOfInput).takes("keys_floats", "keys_int64s",
			"keys_strings", "keys_tensor",
			"values_floats", "values_int64s", "values_strings", "values_tensor", "default_float", "default_int64",
			"default_string", "default_tensor", "classes_strings"),
	}
}
