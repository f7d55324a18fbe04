package zoo

import (
	"fmt"
)

// convNeXtWith reads a ConvNeXt with the names of one library.
func convNeXtWith(names convNeXtNames) func(l look) (Recognized, error) {
	return func(l look) (Recognized, error) { return l.convNeXt(names) }
}

// convNeXt reads depths and widths off the shapes, and the rest off the configuration.
func (l look) convNeXt(names convNeXtNames) (r Recognized, err error) {
	c := NewConvNeXt()
	stem, err := l.shape(names.stem+".weight", 4)
	if err != nil {
		return r, err
	}
	c.Patch, c.Depths, c.Dims = stem[2], nil, nil
	for i := 0; i < maxLayers; i++ {
		depth := 0
		for depth < maxLayers && l.has("%s", numbered(names.block, i, depth, 2*i+1)+names.conv+".weight") {
			depth++
		}
		if depth == 0 {
			break
		}
		conv, err := l.shape(numbered(names.block, i, 0, 2*i+1)+names.conv+".weight", 4)
		if err != nil {
			return r, err
		}
		if conv[2] != depthwiseSide {
			return r, l.wrong(names.conv, fmt.Errorf("its kernels are %dx%d; only %d is known here", conv[2], conv[3], depthwiseSide))
		}
		c.Depths, c.Dims = append(c.Depths, depth), append(c.Dims, conv[0])
	}
	if !l.has("%s", numbered(names.block, 0, 0, 1)+names.scale) {
		c.Scale = 0
	}

	activation := "gelu"
	if l.option("hidden_act", &activation); activation != "gelu" {
		return r, l.wrong("hidden_act", fmt.Errorf("it is %q; only gelu is known here", activation))
	}
	if names == convNeXtTransformers { // whose blocks have 1e-6 whatever this says
		c.LastEpsilon = 1e-12
		l.option("layer_norm_eps", &c.LastEpsilon)
	}
	if c.Classes, err = l.classes(names.classifier); err != nil {
		return r, err
	}
	return Recognized{Network: c, Imports: c.importsOf(names), Channels: stem[1]}, nil
}

// efficientNetLite is Lite0, the one of its kind that is published with such names.
func (l look) efficientNetLite() (r Recognized, err error) {
	n := NewEfficientNetLite()
	if n.Classes, err = l.classes("_fc"); err != nil {
		return r, err
	}
	stem, err := l.shape("_conv_stem.weight", 4)
	if err != nil {
		return r, err
	}
	return Recognized{Network: n, Imports: n.Imports(), Side: 224, Channels: stem[1]}, nil
}
