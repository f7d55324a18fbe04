package zoo_test

import (
	"encoding/json"
	"fmt"
	"log"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/residual"
	"github.com/ballast-ml/ballast/zoo"
)

// small is a quick form of every network of All. A network that is missing here is tested at its default size.
var small = map[string]zoo.Network{
	"mlp":    zoo.MLP{Hidden: []int{8, 6}, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.GELU},
	"cnn":    zoo.CNN{Filters: []int{4, 4}, Dense: 8, Classes: 10, Norm: norm.Choice{Layer: norm.NewGhost(2)}, Activation: linear.ReLU},
	"resnet": zoo.NewResNet(14), // two blocks a stage
	"ibn-resnet": zoo.IBNResNet{
		Bottleneck: true, Stem: 4, Planes: []int{4, 4}, Blocks: []int{2, 1}, Config: []string{"b", "a"}, Ratio: 0.5, Classes: 10, Upsample: 12,
	},
	"digitnet": zoo.DigitNet{Filters: []int{4, 4}, Depth: 2, Dense: 8, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU},
	"efficientnet-lite": zoo.EfficientNetLite{
		Stem: 4, Stages: []zoo.EfficientNetStage{{3, 1, 1, 4, 1}, {5, 2, 2, 6, 2}}, Last: 8, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU6,
	},
	"imagenet-resnet": zoo.ImageNetResNet{
		Stem: []int{4, 5}, Blocks: []int{1}, Filters: []int{6}, Inner: []int{4}, Groups: 2, FirstStride: 2, Shortcut: "D", Classes: 10,
		Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU,
	},
	"convnext": zoo.ConvNeXt{
		Patch: 2, Depths: []int{1, 1}, Dims: []int{4, 6}, Scale: 0.5, Classes: 10, Norm: norm.Choice{Layer: norm.NewLayerNorm(-1)}, Activation: linear.GELU,
	},
	"vit":     tinyViT().WithOutputs(10),
	"decoder": tinyDecoder(),
	"unet":    tinyUNet(1),
	"inpainter": zoo.Inpainter{
		InpaintGenerator: zoo.InpaintGenerator{Base: 2, Blocks: 1, Norm: "region", Style: "instance", Threshold: 0.5}, Channels: 2,
	},
	"towers":   tinyTowers(),
	"heads":    tinyHeads().WithNorm(norm.NewRMS(-1)).WithOutputs(10),
	"branched": tinyBranched(),
	"ensemble": zoo.Ensemble{
		Of: zoo.Choice{Network: zoo.MLP{Hidden: []int{6}, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU}}, Members: 2,
	},
	"ibn-densenet": zoo.IBNDenseNet{Growth: 5, Layers: []int{4, 2}, Ratio: 0.4, Classes: 10},
}

// TestForwardBackward: every network, on every image size it takes, gives finite logits, and a gradient that is finite
// everywhere and reaches every trained variable.
func TestForwardBackward(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, kind := range zoo.All() {
			network, ok := small[kind.Name]
			if !ok {
				network = kind.New()
			}
			if network.Task() != zoo.Classify {
				continue // its own test has inputs of its kind
			}
			for _, dims := range [][]int{{4, 8, 8, 1}, {2, 9, 7, 3}} {
				t.Run(fmt.Sprint(kind.Name, dims), func(t *testing.T) { forwardBackward(t, e, network, dims) })
			}
		}
		b := zoo.NewResNet(8)
		b.Shortcut = "B"
		t.Run("resnet B", func(t *testing.T) { forwardBackward(t, e, b, []int{2, 8, 8, 1}) })
		evonorm := zoo.NewConvNet()
		evonorm.Norm.Layer, evonorm.Standardize = norm.NewEvoNorm("B0"), "paper"
		t.Run("convnet evonorm", func(t *testing.T) { forwardBackward(t, e, evonorm, []int{4, 8, 8, 1}) })
		t.Run("mlp features", func(t *testing.T) { forwardBackward(t, e, small["mlp"], []int{4, 12}) })
	})
}

func forwardBackward(t *testing.T, e *engine.Engine, network zoo.Network, dims []int) {
	var names []string
	exec, err := model.NewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x, labels *graph.Node) []*graph.Node {
		scope.Store().SetTraining(x.Graph(), true)
		logits := network.Apply(scope, x)
		var values []*graph.Node
		for v := range scope.Store().IterVariables() {
			if v.Trainable {
				names, values = append(names, v.Path()), append(values, v.NodeValue(x.Graph()))
			}
		}
		l := loss.Mean(loss.CrossEntropy{}.Of(labels, logits), nil)
		if several, ok := network.(zoo.Heads); ok { // Apply alone gives nothing to the heads with names
			l = graph.Add(l, graph.ReduceAllMean(graph.Square(allHeads(several, scope.ResetVisited(), x))))
		}
		if several, ok := network.(zoo.Branched); ok {
			l = graph.Add(l, graph.ReduceAllMean(graph.Square(allBranches(several, scope.ResetVisited(), x))))
		}
		return append([]*graph.Node{logits}, graph.Gradient(l, values...)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Call(random(1, dims...), classes(dims[0]))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(out[0].Shape().Dimensions), fmt.Sprint([]int{dims[0], network.Outputs()}); got != want {
		t.Errorf("logits are %s, want %s", got, want)
	}
	for i, value := range out {
		largest := 0.0
		for _, v := range tensors.MustCopyFlatData[float32](value) {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Fatalf("output %d (logits, then gradients of %v) has a %v", i, names, v)
			}
			largest = max(largest, math.Abs(float64(v)))
		}
		// A bias in front of a batch normalisation moves nothing: its gradient is rounding.
		if i > 0 && largest == 0 {
			t.Errorf("no gradient reaches %s", names[i-1])
		}
	}
}

// TestEnginesAgree: the same seed gives the same network, and so the same logits, on every engine.
func TestEnginesAgree(t *testing.T) {
	var first []float32
	var engineOfFirst string
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		out := model.MustNewExec(e.Backend, model.NewStore(), zoo.NewCNN().Apply).MustCall(random(1, 2, 28, 28, 1))
		logits := tensors.MustCopyFlatData[float32](out[0])
		if first == nil {
			first, engineOfFirst = logits, e.Kind
		}
		for i := range logits {
			if math.Abs(float64(logits[i]-first[i])) > 1e-4 {
				t.Errorf("logit %d is %v, on %s %v", i, logits[i], engineOfFirst, first[i])
			}
		}
	})
}

// TestParameterCounts: ResNets count 0.27 M, 0.46 M, 0.66 M and 0.85 M parameters in the paper's table 6.
func TestParameterCounts(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b := zoo.NewResNet(20)
	b.Shortcut = "B"
	ibn := func(first, second string) zoo.Network {
		r := zoo.NewIBNResNet()
		r.Config = []string{first, second, ""}
		return r
	}
	conv := func(from, to int) int { return 9*from*to + 3*to } // with a bias, a scale and an offset
	// No class token, no biases in attention, RMS norms behind the sums and none at the end.
	lean, plainHeads := zoo.NewViT(), heads(4)
	plainHeads.NoBias = true
	lean.Pooling, lean.Feed, lean.MLPRatio, lean.Norm.Layer = zoo.PoolMean, zoo.SwiGLU, 1.5, norm.NewRMS(-1)
	lean.Mixer.Mixer, lean.Placement.Placement = plainHeads, residual.Post{}
	const plainResNet = 27*16 + 2*16 + 2*(16*16*9+2*16) + 16*32*9 + 32*32*9 + 16*32 + 3*2*32 + 32*64*9 + 64*64*9 + 32*64 + 3*2*64 + 650
	resnet50, err := zoo.NewIBNResNetOfDepth(50, "a")
	if err != nil {
		t.Fatal(err)
	}
	resnet18, err := zoo.NewImageNetResNetOfDepth(18)
	if err != nil {
		t.Fatal(err)
	}
	densenet121, err := zoo.NewIBNDenseNetOfDepth(121)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		network zoo.Network
		dims    []int
		want    int
	}{
		{"resnet-20", zoo.NewResNet(20), []int{32, 32, 3}, 269722},
		{"resnet-32", zoo.NewResNet(32), []int{32, 32, 3}, 464154},
		{"resnet-44", zoo.NewResNet(44), []int{32, 32, 3}, 658586},
		{"resnet-56", zoo.NewResNet(56), []int{32, 32, 3}, 853018},
		{"resnet-20 B", b, []int{32, 32, 3}, 269722 + 16*32 + 2*32 + 32*64 + 2*64},
		{"digitnet", zoo.NewDigitNet(), []int{28, 28, 1}, 421642},
		{"digitnet of SVHN", zoo.DigitNet{
			Filters: []int{32, 64, 128}, Depth: 2, Dense: 256, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU,
		}, []int{32, 32, 3}, 815018},
		{"efficientnet-lite0", zoo.NewEfficientNetLite(), []int{32, 32, 3}, 4652008},
		{"resnet-18", resnet18, []int{64, 64, 3}, 11689512}, // those of the published networks, as the next two
		{"resnet-50", zoo.NewImageNetResNet(), []int{64, 64, 3}, 25557032},
		{"convnext-t", zoo.NewConvNeXt(), []int{64, 64, 3}, 28589128},
		{"cnn", zoo.NewCNN(), []int{28, 28, 1}, 16*9 + 3*16 + 32*16*9 + 3*32 + 1568*128 + 3*128 + 128*10 + 10},
		{"convnet", zoo.NewConvNet(), []int{28, 28, 1}, 9*16 + 16*16*9 + 16*32*9 + 32*32*9 + 2*(16+16+32+32) + 330},
		{"ibn-resnet", ibn("", ""), []int{32, 32, 3}, plainResNet},
		{"ibn-resnet a", ibn("a", "a"), []int{32, 32, 3}, plainResNet},
		{"ibn-resnet b", ibn("b", "b"), []int{32, 32, 3}, plainResNet + 2*(16+32)},
		{"ibn-resnet-50 a", resnet50, []int{64, 64, 3}, 25557032},    // that of the published ResNet-50
		{"ibn-densenet-121", densenet121, []int{64, 64, 3}, 7978856}, // that of the published DenseNet-121
		{"rnn", zoo.NewRNN(), []int{28, 28, 1}, 28*128 + 32*128 + 128 + 4*128 + 2*32 + 330},
		{"unet", zoo.NewUNet(), []int{16, 16, 1}, conv(1, 32) + conv(32, 32) + conv(32, 64) + conv(64, 64) + conv(64, 128) + conv(128, 128) +
			conv(128, 256) + conv(256, 256) + conv(256, 512) + conv(512, 512) + 8*(256*256+128*128+64*64+32*32) + conv(512, 256) + conv(256, 256) +
			conv(256, 128) + conv(128, 128) + conv(128, 64) + conv(64, 64) + conv(64, 32) + conv(32, 32) + 66},
		{"inpainter", zoo.NewInpainter(), []int{12, 12, 4}, 49*3*64 + 64 + 16*64*128 + 128 + 16*128*256 + 256 + 4*(64+128+256) + 16*(9*256*256+256) +
			9*256*512 + 512 + 9*128*256 + 256 + 18*(98+50+50) + 49*64*3 + 3},
		{"branched", zoo.NewBranched(), []int{28, 28, 1}, 16*9 + 3*16 + 32*16*9 + 3*32 + 3*(1568*128+3*128+1290)},
		{"heads", zoo.NewHeads(), []int{8, 8, 1}, 64*256 + 3*256 + 256*128 + 3*128 + 1290 + 128*32 + 3*32 + 32*32 + 3*32 + 330},
		{"vit", zoo.NewViT(), []int{28, 28, 1}, 17*64 + 64 + 50*64 + 6*(4*65*64+65*256+257*64+4*64) + 2*64 + 650},
		{"vit mean swiglu", lean, []int{32, 32, 3}, 49*64 + 64*64 + 6*(4*64*64+2*65*96+97*64+2*64) + 650},
		{"two-layer", zoo.NewTwoLayer(), []int{8, 8, 1}, 74 * 500},
		{"mlp", zoo.NewMLP(), []int{28, 28, 1}, 784*512 + 4*512*512 + 5*3*512 + 512*10 + 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := model.NewStore()
			g := graph.NewGraph(e.Backend, c.name)
			c.network.Apply(store.RootScope(), graph.Zeros(g, tensors.FromFlatDataAndDimensions(make([]float32, size(c.dims)), append([]int{1}, c.dims...)...).Shape()))
			got := 0
			for v := range store.IterVariables() {
				if v.Trainable {
					got += v.Shape().Size()
				}
			}
			if got != c.want {
				t.Errorf("%d parameters, want %d", got, c.want)
			}
		})
	}
}

func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// TestChoice: what is written is read back; an unknown name or option names the nearest.
func TestChoice(t *testing.T) {
	for _, kind := range zoo.All() {
		first, err := json.Marshal(zoo.Choice{Network: kind.New()})
		if err != nil {
			t.Fatal(err)
		}
		var read zoo.Choice
		if err := json.Unmarshal(first, &read); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		second, err := json.Marshal(read)
		if err != nil || string(first) != string(second) {
			t.Errorf("%s came back as %s (%v)", first, second, err)
		}
		if zoo.Name(read.Network) != kind.Name {
			t.Errorf("%s came back as %s", kind.Name, zoo.Name(read.Network))
		}
		if err := kind.New().Validate(); err != nil {
			t.Errorf("the defaults of %s: %v", kind.Name, err)
		}
	}
	for in, want := range map[string]string{
		`"cn"`:                                                  `no network "cn" (did you mean cnn?)`,
		`{"name":"cnn","filter":[4]}`:                           "filters",
		`{"name":"cnn","filters":[0]}`:                          "cnn: filters.0 is 0; use at least 1",
		`{"name":"cnn","dense":-1}`:                             "use 0 for no such layer",
		`{"name":"two-layer","units":0}`:                        "two-layer: units is 0; use at least 1",
		`{"name":"two-layer","dropout":1}`:                      "two-layer: dropout is 1; use a share from 0 to below 1",
		`{"name":"mlp","hidden":[4,0]}`:                         "mlp: hidden.1 is 0; use at least 1",
		`{"name":"mlp","classes":1}`:                            "mlp: classes is 1; use at least 2",
		`{"name":"mlp","activation":"rellu"}`:                   "did you mean relu?",
		`{"name":"mlp","norm":"gost"}`:                          "did you mean ghost?",
		`{"name":"mlp","norm":{"name":"ghost","ghost_sice":2}}`: "ghost_size",
		`{"name":"resnet","depth":21}`:                          "resnet: depth is 21; it must be 6n+2, such as 20 or 26",
		`{"name":"resnet","width":0}`:                           "resnet: width is 0; use at least 1",
		`{"name":"resnet","shortcut":"C"}`:                      `resnet: shortcut is "C"; use A (zeros) or B (1x1 convolution)`,
	} {
		var read zoo.Choice
		if err := json.Unmarshal([]byte(in), &read); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
}

// TestWith: the copies differ in what was asked for alone.
func TestWith(t *testing.T) {
	for _, kind := range zoo.All() {
		original := kind.New()
		classes := original.Outputs()
		network := original.WithOutputs(3).WithNorm(norm.Identity{})
		if network.Outputs() != 3 || original.Outputs() != classes {
			t.Errorf("%s: the copy has %d classes, want 3; the original %d, want %d", kind.Name, network.Outputs(), original.Outputs(), classes)
		}
		if _, own := network.(zoo.OwnNorms); own {
			continue
		}
		text, err := json.Marshal(zoo.Choice{Network: network})
		if err != nil || !strings.Contains(string(text), `"norm":{"name":"identity"}`) {
			t.Errorf("%s: %s (%v)", kind.Name, text, err)
		}
	}
}

// The default CNN on one grey image of 28x28, with its norm exchanged.
func ExampleCNN() {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	cnn := zoo.NewCNN()
	cnn.Norm = norm.Choice{Layer: norm.NewLayerNorm(-1)}
	store := model.NewStore()
	x := tensors.FromFlatDataAndDimensions(make([]float32, 28*28), 1, 28, 28, 1)
	logits := model.MustNewExec(e.Backend, store, cnn.Apply).MustCall(x)[0]
	fmt.Println(logits.Shape(), store.NumParameters())
	// Output:
	// (Float32)[1, 10] 207274
}

// TestInpaint: the generator gives images in [0,1] and a gradient to every variable, for each norm; the discriminator gives probabilities
// with kernels of norm 1; sides that do not fit are refused.
func TestInpaint(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		mask := make([]float32, 2*16*12)
		for i := range mask {
			if i%12 > 3 && i%12 < 9 && i/12%16 > 4 && i/12%16 < 11 {
				mask[i] = 1
			}
		}
		for _, kind := range []string{"region", "instance", "batch"} {
			generator, discriminator := zoo.NewInpaintGenerator(), zoo.InpaintDiscriminator{Base: 4, Halves: 1}
			generator.Base, generator.Blocks, generator.Norm, generator.Threshold = 4, 1, kind, 0.5
			var names []string
			store := model.NewStore()
			exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, mask *graph.Node) []*graph.Node {
				store.SetTraining(x.Graph(), true)
				y := generator.Apply(scope.In("generator"), x, mask)
				judged := discriminator.Apply(scope.In("discriminator"), y)
				l := loss.NewInpainting().Generator(y, x, mask, judged)
				names = nil
				var values []*graph.Node
				for v := range store.IterVariables() {
					if v.Trainable {
						names, values = append(names, v.Path()), append(values, v.NodeValue(x.Graph()))
					}
				}
				return append([]*graph.Node{y, judged}, graph.Gradient(l, values...)...)
			})
			out := exec.MustCall(random(2, 2, 16, 12, 3), tensors.FromFlatDataAndDimensions(mask, 2, 16, 12, 1))
			for i, o := range out {
				largest := 0.0
				for _, v := range tensors.MustCopyFlatData[float32](o) {
					if v != v || i < 2 && (v < 0 || v > 1) {
						t.Fatalf("%s: output %d has a %v", kind, i, v)
					}
					largest = math.Max(largest, math.Abs(float64(v)))
				}
				if i > 1 && largest == 0 {
					t.Errorf("%s: no gradient reaches %s", kind, names[i-2])
				}
			}
			if want := []int{2, 16, 12, 3}; fmt.Sprint(out[0].Shape().Dimensions) != fmt.Sprint(want) {
				t.Errorf("%s: the image is %s, want %v", kind, out[0].Shape(), want)
			}
		}
		message := gradcheck.Panics(e.Backend, func(x []*graph.Node) *graph.Node {
			return zoo.NewInpaintGenerator().Apply(model.NewStore().RootScope(), x[0], x[1])
		}, gradcheck.Normal(1, 1, 18, 16, 3), gradcheck.Normal(1, 1, 18, 16, 1))
		if want := "images are 18 x 16; sides must be multiples of 4, at least 12, so crop or resize them"; !strings.Contains(message, want) {
			t.Errorf("got %q, want %q", message, want)
		}
	})
}
