package zoo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
)

// Recognized is a network whose weights a file of another library holds.
type Recognized struct {
	Network Network
	Imports []Import
	File    weights.File // the file, without what stands before all names

	Family   string   // "resnet", "vit", "convnext", "efficientnet-lite"
	Style    string   // whose names they are: "torchvision or timm", "timm", "transformers", "authors"
	Side     int      // rows and columns of an image; 0 = the file does not say
	Channels int      // of an image
	Assumed  []string // what neither the file nor the configuration says
	Beside   []string // beginnings of names of tensors that the network does not use
}

// family is a kind of network that Recognize knows: it is the file's if a name ends in sign.
type family struct {
	name, style, sign string
	of                func(l look) (Recognized, error)
}

// families are tried in order.
var families = []family{
	{"resnet", "transformers", "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight", look.transformersResNet},
	{"resnet", "torchvision or timm", "layer1.0.conv1.weight", look.torchResNet},
	{"vit", "transformers", "vit.encoder.layer.0.attention.attention.query.weight", look.transformersViT},
	{"vit", "timm", "blocks.0.attn.qkv.weight", look.timmViT},
	{"convnext", "transformers", "convnext.encoder.stages.0.layers.0.dwconv.weight", convNeXtWith(convNeXtTransformers)},
	{"convnext", "torchvision", "features.1.0.block.0.weight", convNeXtWith(convNeXtTorchvision)},
	{"convnext", "timm", "stages.0.blocks.0.conv_dw.weight", convNeXtWith(convNeXtTimm)},
	{"convnext", "authors", "stages.0.0.dwconv.weight", convNeXtWith(convNeXtAuthors)},
	{"efficientnet-lite", "efficientnet-lite-pytorch", "_blocks.0._depthwise_conv.weight", look.efficientNetLite},
}

// ErrUnrecognized is wrapped by the error of Recognize where no known network has such names.
var ErrUnrecognized = errors.New("its names are those of no network known here: ResNet (torchvision, timm, transformers), ViT (timm, transformers), " +
	"ConvNeXt (torchvision, timm, transformers), EfficientNet-Lite0")

// Recognize finds the network whose weights a file holds, by the names and shapes of its tensors. config is the config.json beside it, nil if
// there is none; it says what shapes do not, such as the number of heads. A file of no known network, or of a variant that is not
// supported, is a *fault.Input.
func Recognize(file weights.File, config *hf.Config) (Recognized, error) {
	for _, f := range families {
		for _, info := range file.Tensors() {
			prefix, ok := strings.CutSuffix(info.Name, f.sign)
			if !ok || prefix != "" && !strings.HasSuffix(prefix, ".") {
				continue
			}
			if prefix != "" {
				file = weights.Without(file, prefix)
			}
			r, err := f.of(look{file: file, config: config, style: f.style})
			if err != nil {
				return r, err
			}
			r.File, r.Family, r.Style = file, f.name, f.style
			if err := r.Network.Validate(); err != nil {
				return r, &fault.Input{File: file.Path(), Err: err, Fix: "the file belongs to a variant that is not supported; export the network to ONNX"}
			}
			return r, nil
		}
	}
	return Recognized{}, &fault.Input{File: file.Path(), Err: ErrUnrecognized, Fix: "export the network to ONNX, which runs as it is"}
}

// look is a file that is being looked at.
type look struct {
	file   weights.File
	config *hf.Config
	style  string
}

// shape is that of a tensor with as many axes as are wanted.
func (l look) shape(name string, rank int) ([]int, error) {
	info, ok := l.file.Info(name)
	switch {
	case !ok:
		return nil, l.wrong(name, errors.New("the tensor is missing"))
	case len(info.Shape) != rank || slices.Contains(info.Shape, 0):
		return nil, l.wrong(name, fmt.Errorf("its shape is %v; want %d axes", info.Shape, rank))
	}
	return info.Shape, nil
}

func (l look) has(format string, args ...any) bool {
	_, ok := l.file.Info(fmt.Sprintf(format, args...))
	return ok
}

func (l look) wrong(field string, err error) error {
	return &fault.Input{File: l.file.Path(), Field: field, Err: err, Fix: "the file belongs to a variant that is not supported; export the network to ONNX"}
}

// classes are the rows of the last layer.
func (l look) classes(name string) (int, error) {
	shape, err := l.shape(name+".weight", 2)
	var missing *fault.Input
	if errors.As(err, &missing) && !l.has("%s.weight", name) {
		missing.Err, missing.Fix = errors.New("there is no last layer of a classifier"), "the file holds a backbone alone; name one with its classifier"
	}
	if err != nil {
		return 0, err
	}
	return shape[0], nil
}

// count is how many of numbered names there are, from 0.
func (l look) count(format string) int {
	for n := 0; ; n++ {
		if !l.has(format, n) || n > maxLayers {
			return n
		}
	}
}

// option reads a key of the configuration, or of timm's model_args in it; it reports whether it is there.
func (l look) option(key string, into any) bool {
	if l.config == nil {
		return false
	}
	raw := l.config.Keys[key]
	var args map[string]json.RawMessage
	if raw == nil && json.Unmarshal(l.config.Keys["model_args"], &args) == nil {
		raw = args[key]
	}
	return raw != nil && json.Unmarshal(raw, into) == nil
}
