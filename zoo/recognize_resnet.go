package zoo

import (
	"fmt"
)

// torchResNet is a ResNet of torchvision or timm.
func (l look) torchResNet() (r Recognized, err error) {
	n := NewImageNetResNet()
	channels, err := l.torchStem(&n)
	if err != nil {
		return r, err
	}
	if err := l.resNetStages(&n, "layer%d.%d.conv%d.weight", 1, 1); err != nil {
		return r, err
	}
	if l.has("layer2.0.downsample.2.weight") { // a mean in front
		n.Shortcut = "D"
	}
	if n.Classes, err = l.classes("fc"); err != nil {
		return r, err
	}
	return Recognized{Network: n, Imports: n.Imports(), Channels: channels}, nil
}

// torchStem reads the stem, and returns the channels of an image.
func (l look) torchStem(n *ImageNetResNet) (channels int, err error) {
	if l.has("conv1.weight") {
		shape, err := l.shape("conv1.weight", 4)
		if err != nil {
			return 0, err
		}
		n.Stem = []int{shape[0]}
		return shape[1], nil
	}
	n.Stem = nil
	for i := 0; l.has("conv1.%d.weight", 3*i) && i < maxLayers; i++ {
		shape, err := l.shape(fmt.Sprintf("conv1.%d.weight", 3*i), 4)
		if err != nil {
			return 0, err
		}
		if n.Stem = append(n.Stem, shape[0]); i == 0 {
			channels = shape[1]
		}
	}
	if len(n.Stem) == 0 {
		_, err = l.shape("conv1.weight", 4)
	}
	return channels, err
}

// transformersResNet is a ResNet of transformers.
func (l look) transformersResNet() (r Recognized, err error) {
	n := NewImageNetResNet()
	stem, err := l.shape("resnet.embedder.embedder.convolution.weight", 4)
	if err != nil {
		return r, err
	}
	n.Stem = []int{stem[0]}
	if err := l.resNetStages(&n, "resnet.encoder.stages.%d.layers.%d.layer.%d.convolution.weight", 0, 0); err != nil {
		return r, err
	}
	first := false
	l.option("downsample_in_bottleneck", &n.StrideFirst)
	if l.option("downsample_in_first_stage", &first); first {
		n.FirstStride = 2
	}
	activation := "relu"
	if l.option("hidden_act", &activation); activation != "relu" {
		return r, l.wrong("hidden_act", fmt.Errorf("it is %q; only relu is known here", activation))
	}
	if n.Classes, err = l.classes("classifier.1"); err != nil {
		return r, err
	}
	return Recognized{Network: n, Imports: n.transformersImports(), Channels: stem[1]}, nil
}

// resNetStages reads blocks and channels off the convolutions, whose names have the numbers of stage, block and convolution. Stages are
// counted from firstStage, convolutions from firstConv, blocks from 0.
func (l look) resNetStages(n *ImageNetResNet, name string, firstStage, firstConv int) error {
	n.Blocks, n.Filters, n.Inner = nil, nil, []int{}
	bottleneck := l.has(name, firstStage, 0, firstConv+2)
	for stage := firstStage; l.has(name, stage, 0, firstConv) && stage < maxLayers; stage++ {
		blocks := 0
		for l.has(name, stage, blocks, firstConv) && blocks < maxLayers {
			blocks++
		}
		last := firstConv + 1
		if bottleneck {
			last++
		}
		out, err := l.shape(fmt.Sprintf(name, stage, 0, last), 4)
		if err != nil {
			return err
		}
		n.Blocks, n.Filters = append(n.Blocks, blocks), append(n.Filters, out[0])
		if !bottleneck {
			continue
		}
		middle, err := l.shape(fmt.Sprintf(name, stage, 0, firstConv+1), 4)
		if err != nil {
			return err
		}
		n.Inner = append(n.Inner, middle[0])
		n.Groups = max(1, middle[0]/middle[1])
	}
	return nil
}
