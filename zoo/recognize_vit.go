package zoo

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
)

// viTNames are the names of one library.
type viTNames struct {
	class, positions, patches string
	block                     string // of block %d, from 0
	query, key, value         string // parts of a block
	qkv                       string // the three in one, rows of the query first; "" = they are apart
	out, in, back             string
	before, after             string // norms in front of the attention and of the feed-forward part
	last, head                string
}

// The names in the files of each library.
var (
	viTTransformers = viTNames{
		class: "vit.embeddings.cls_token", positions: "vit.embeddings.position_embeddings", patches: "vit.embeddings.patch_embeddings.projection",
		block: "vit.encoder.layer.%d.", query: "attention.attention.query", key: "attention.attention.key", value: "attention.attention.value",
		out: "attention.output.dense", in: "intermediate.dense", back: "output.dense", before: "layernorm_before", after: "layernorm_after",
		last: "vit.layernorm", head: "classifier",
	}
	viTTimm = viTNames{
		class: "cls_token", positions: "pos_embed", patches: "patch_embed.proj", block: "blocks.%d.", qkv: "attn.qkv",
		out: "attn.proj", in: "mlp.fc1", back: "mlp.fc2", before: "norm1", after: "norm2", last: "norm", head: "head",
	}
)

// Imports maps the names of transformers' ViTForImageClassification.
func (v ViT) Imports() []Import { return v.importsOf(viTTransformers) }

var _ Importable = ViT{}

func (v ViT) importsOf(n viTNames) []Import {
	normed := func(ours, theirs string) []Import {
		return []Import{{Variable: ours + "/norm/scale", Tensor: theirs + ".weight"}, {Variable: ours + "/norm/offset", Tensor: theirs + ".bias"}}
	}
	all := []Import{
		{Variable: "class/kernel", Tensor: n.class, View: []int{1, -1}},
		{Variable: "positions/kernel", Tensor: n.positions, View: []int{-1, v.Dim}},
		// Theirs are kernels of a convolution [Dim, channels, Patch, Patch], ours has a row for each value of a patch.
		{Variable: "patches/kernel", Tensor: n.patches + ".weight", View: []int{v.Dim, -1, v.Patch, v.Patch}, Axes: []int{2, 3, 1, 0}},
		{Variable: "patches/bias", Tensor: n.patches + ".bias"},
	}
	for i := range v.Depth {
		ours, theirs := fmt.Sprintf("layer_%d/", i+1), fmt.Sprintf(n.block, i)
		for part, name := range []string{"query", "key", "value"} {
			apart := denseImports(ours+"attention/"+name, theirs+[]string{n.query, n.key, n.value}[part])
			if n.qkv != "" {
				apart = denseImports(ours+"attention/"+name, theirs+n.qkv)
				for k := range apart {
					apart[k].Part, apart[k].Parts = part, 3
				}
			}
			all = append(all, apart...)
		}
		all = append(all, denseImports(ours+"attention/out", theirs+n.out)...)
		all = append(all, denseImports(ours+"feed/in", theirs+n.in)...)
		all = append(all, denseImports(ours+"feed/out", theirs+n.back)...)
		all = append(all, normed(ours+"attention", theirs+n.before)...)
		all = append(all, normed(ours+"feed", theirs+n.after)...)
	}
	return append(append(all, normed("last", n.last)...), denseImports(param.OutputScope, n.head)...)
}

// transformersViT is a vision transformer of transformers.
func (l look) transformersViT() (Recognized, error) {
	r, err := l.viT(viTTransformers, hf.NewViT().LayerNormEpsilon)
	r.Beside = []string{"vit.pooler."}
	return r, err
}

// timmViT is a vision transformer of timm.
func (l look) timmViT() (Recognized, error) { return l.viT(viTTimm, 1e-6) }

// viT reads widths and numbers off the shapes, and the rest off the configuration.
func (l look) viT(names viTNames, epsilon float64) (r Recognized, err error) {
	v := NewViT()
	patch, err := l.shape(names.patches+".weight", 4)
	if err != nil {
		return r, err
	}
	positions, err := l.shape(names.positions, 3)
	if err != nil {
		return r, err
	}
	v.Dim, v.Patch, v.Depth = patch[0], patch[2], l.count(names.block+names.out+".weight")
	feed, err := l.shape(fmt.Sprintf(names.block, 0)+names.in+".weight", 2)
	if err != nil {
		return r, err
	}
	v.MLPRatio = float64(feed[0]) / float64(v.Dim)
	if v.Classes, err = l.classes(names.head); err != nil {
		return r, err
	}

	side := int(math.Round(math.Sqrt(float64(positions[1] - 1))))
	if side < 1 || side*side+1 != positions[1] || patch[2] != patch[3] {
		return r, l.wrong(names.positions, fmt.Errorf("it has %d places for patches of %dx%d; want a class token and a square of patches", positions[1], patch[2], patch[3]))
	}
	r = Recognized{Side: side * v.Patch, Channels: patch[1]}
	if err := l.viTOptions(&v, &r, epsilon); err != nil {
		return r, err
	}
	r.Network, r.Imports = v, v.importsOf(names)
	return r, nil
}

// viTOptions are what shapes do not say.
func (l look) viTOptions(v *ViT, r *Recognized, epsilon float64) error {
	heads := map[int]int{192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}[v.Dim] // of the published sizes
	if !l.option("num_attention_heads", &heads) && !l.option("num_heads", &heads) {
		if heads == 0 {
			return l.wrong("", fmt.Errorf("the width %d is not that of a published vision transformer, so the number of heads is unknown; a config.json beside the file says it", v.Dim))
		}
		r.Assumed = append(r.Assumed, fmt.Sprintf("%d heads, as published networks of this width have", heads))
	}
	l.option("layer_norm_eps", &epsilon)

	activation, bias, pool := linear.GELU.String(), true, "token"
	if l.option("hidden_act", &activation); activation != linear.GELU.String() {
		return l.wrong("hidden_act", fmt.Errorf("it is %q; only gelu is known here", activation))
	}
	if l.option("qkv_bias", &bias); !bias {
		return l.wrong("qkv_bias", fmt.Errorf("it is false; attention has biases everywhere or nowhere here"))
	}
	if l.option("global_pool", &pool); pool != "token" && pool != "" {
		return l.wrong("global_pool", fmt.Errorf("it is %q; only token is known here", pool))
	}

	attention := mixer.NewAttention()
	attention.Heads = heads
	v.Mixer = mixer.Choice{Mixer: attention}
	layer := norm.NewLayerNorm(-1)
	layer.Epsilon = epsilon
	v.Norm = norm.Choice{Layer: layer}
	return nil
}
