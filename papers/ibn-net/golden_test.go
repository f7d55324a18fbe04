package ibnnet

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper/papertest"
	"github.com/ballast-ml/ballast/zoo"
)

func TestGolden(t *testing.T) { papertest.Golden(t, "ibn-net", kinds) }

func TestOptions(t *testing.T) { papertest.Options(t, "ibn-net", kinds) }

func kinds(e *engine.Engine) []golden.Kind {
	return []golden.Kind{
		{
			Name:  "layer",
			Match: func(c *golden.Case) bool { return c.Has("params.ratio_in", "inputs.x_step1") },
			Run:   func(t golden.T, c *golden.Case) { goldenIBN(t, e, c) },
		},
		{
			Name:  "residual block",
			Match: func(c *golden.Case) bool { return c.Has("params.ibn", "params.block", "inputs.x") },
			Run:   func(t golden.T, c *golden.Case) { goldenIBNBlock(t, e, c) },
		},
		{
			Name:  "feature divergence",
			Match: func(c *golden.Case) bool { return c.Has("inputs.features_a", "inputs.features_b") },
			Run: func(t golden.T, c *golden.Case) {
				p := struct {
					Floor float64 `json:"floor"`
				}{Floor: metric.DivergenceFloor}
				c.Params(&p)
				a := c.Tensor("inputs.features_a")
				mean, each, err := metric.FeatureDivergence(a.Data, c.Tensor("inputs.features_b").Data, a.Shape[1], p.Floor)
				if err != nil {
					t.Fatalf("%v", err)
				}
				c.Got("divergence_per_channel", []int{len(each)}, each)
				c.Scalar("divergence", mean)
			},
		},
	}
}

func goldenIBN(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		norm.IBN
		RatioIn    float64 `json:"ratio_in"`
		Half       int     `json:"half"`
		ChannelsIn int     `json:"channels_in"`
		ChannelsBN int     `json:"channels_bn"`
		Steps      int     `json:"steps"`
	}{IBN: norm.NewIBN()}
	c.Params(&p)
	p.IBN.Ratio = p.RatioIn
	// The case keeps the two parts apart; the layer has them in the order of the channels.
	order := []string{"in", "bn"}
	if p.Order == "bn_first" {
		order = []string{"bn", "in"}
	}
	l := papertest.NewLayer(e, p.IBN, nil, c)
	size := map[string]int{"in": p.ChannelsIn, "bn": p.ChannelsBN}
	for name, path := range map[string]string{"gamma": "/scale", "beta": "/offset"} {
		var both []float64
		for _, part := range order {
			both = append(both, c.Tensor("weights."+name+"_"+part).Data...)
		}
		l.Set(path, tensors.FromFlatDataAndDimensions(papertest.Narrowed(both), len(both)))
		l.Weights = append(l.Weights, [2]string{name, path})
	}
	l.Split = func(name string, gradient *tensors.Tensor, step string) {
		flat := tensors.MustCopyFlatData[float32](gradient)
		from := 0
		for _, part := range order {
			values := flat[from : from+size[part]]
			from += size[part]
			papertest.Got(c, "grad_"+name+"_"+part+step, tensors.FromFlatDataAndDimensions(values, len(values)))
		}
	}
	l.State("running_mean", "/mean", "inputs.running_mean0")
	l.State("running_var", "/variance", "inputs.running_var0")
	if p.Half != size[order[0]] {
		t.Fatalf("half is %d, the first part has %d channels", p.Half, size[order[0]])
	}
	l.Steps(c, p.Steps, nil)
}

func goldenIBNBlock(t golden.T, e *engine.Engine, c *golden.Case) {
	p := struct {
		IBN     string  `json:"ibn"`
		Block   string  `json:"block"`
		Stride  int     `json:"stride"`
		In      int     `json:"in_channels"`
		Planes  int     `json:"planes"`
		Epsilon float64 `json:"eps"`
		Ratio   float64 `json:"ratio_in"`
	}{Epsilon: 1e-5, Ratio: 0.5}
	c.Params(&p)
	if p.IBN == "none" {
		p.IBN = ""
	}
	block := zoo.IBNBlock{Bottleneck: p.Block == "bottleneck", Planes: p.Planes, Stride: p.Stride, Kind: p.IBN, Ratio: p.Ratio, Epsilon: p.Epsilon}
	store := model.NewStore()
	parts := map[string][]float64{}    // the two parts of an IBN layer, to be joined
	places := map[string]weightPlace{} // where each weight of the file went
	place := func(name, path string, value golden.Tensor) {
		papertest.Create(store, path, papertest.Tensor(value))
		places[name] = weightPlace{path: path}
	}
	for _, key := range c.Keys() {
		name, ok := strings.CutPrefix(key, "weights.")
		if !ok {
			continue
		}
		module, kind, _ := cutLast(name, ".")
		value := c.Tensor(key)
		leaf := map[string]string{"weight": "scale", "bias": "offset"}[kind]
		switch {
		case strings.HasPrefix(module, "conv"):
			place(name, "/conv_"+module[4:]+"/kernel", value)
		case module == "downsample.0":
			place(name, "/shortcut/kernel", value)
		case module == "downsample.1":
			place(name, "/shortcut/norm/"+leaf, value)
		case module == "IN":
			place(name, "/instance/"+leaf, value)
		case strings.HasSuffix(module, ".IN"):
			path := "/conv_" + strings.TrimSuffix(module[2:], ".IN") + "/norm/" + leaf
			parts[path] = append(value.Data, parts[path]...)
			places[name] = weightPlace{path: path, size: len(value.Data)}
		case strings.HasSuffix(module, ".BN"):
			path := "/conv_" + strings.TrimSuffix(module[2:], ".BN") + "/norm/" + leaf
			parts[path] = append(parts[path], value.Data...)
			places[name] = weightPlace{path: path, size: len(value.Data), last: true}
		case strings.HasPrefix(module, "bn"):
			place(name, "/conv_"+module[2:]+"/norm/"+leaf, value)
		default:
			t.Fatalf("no place for weight %s", name)
		}
	}
	for path, both := range parts {
		papertest.Create(store, path, tensors.FromFlatDataAndDimensions(papertest.Narrowed(both), len(both)))
	}
	given := map[string]bool{}
	for v := range store.IterVariables() {
		given[v.Path()] = true
	}
	names := slices.Sorted(maps.Keys(places))
	out := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, w *graph.Node) []*graph.Node {
		store.SetTraining(x.Graph(), true)
		y := block.Apply(scope, x)
		wanted := []*graph.Node{x}
		for _, name := range names {
			wanted = append(wanted, store.GetVariable(places[name].path).NodeValue(x.Graph()))
		}
		return append([]*graph.Node{y}, graph.Gradient(graph.ReduceAllSum(graph.Mul(y, w)), wanted...)...)
	}).MustCall(papertest.Tensor(c.Tensor("inputs.x")), papertest.Tensor(c.Tensor("inputs.w")))
	papertest.Got(c, "y", out[0])
	papertest.Got(c, "grad_x", out[1])
	for i, name := range names {
		papertest.Got(c, "grad_"+name, places[name].of(out[2+i]))
	}
	for v := range store.IterVariables() {
		if v.Trainable && !given[v.Path()] {
			t.Errorf("variable %s got no weight", v.Path())
		}
	}
}

// weightPlace is the variable that a weight of a file went to: all of it, or its first or last values.
type weightPlace struct {
	path string
	size int // 0 = all
	last bool
}

// of is the weight's share of the variable's gradient.
func (p weightPlace) of(gradient *tensors.Tensor) *tensors.Tensor {
	if p.size == 0 {
		return gradient
	}
	flat := tensors.MustCopyFlatData[float32](gradient)
	if p.last {
		flat = flat[len(flat)-p.size:]
	}
	return tensors.FromFlatDataAndDimensions(slices.Clone(flat[:p.size]), p.size)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
