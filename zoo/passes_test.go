package zoo_test

import (
	"testing"

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/pass/passtest"
	"github.com/ballast-ml/ballast/zoo"
	"github.com/ballast-ml/ballast/zoo/zootest"
)

// quick is the form of a network that batteries run.
func quick(kind zoo.Kind) zoo.Network {
	switch kind.Name {
	case "resnet":
		r := zoo.NewResNet(8)
		r.Base = 4
		return r
	case "convnet":
		c := zoo.NewConvNet()
		c.Filters, c.Strides, c.Standardize = []int{4, 4}, []int{1, 2}, "paper"
		return c
	case "rnn":
		r := zoo.NewRNN()
		r.Hidden = 5
		return r
	}
	if n, ok := small[kind.Name]; ok {
		if kind.Name == "decoder" { // differences in float32 need what bends less where embeddings are small
			return n.WithNorm(norm.LayerNorm{Axes: []int{-1}, Epsilon: 1})
		}
		return n
	}
	return kind.New()
}

var images = []int{4, 8, 8, 1}

// inputs are the dimensions of what a network takes.
func inputs(n zoo.Network) []int {
	switch {
	case n.Task() == zoo.Language:
		return []int{3, 4}
	case zoo.Name(n) == "inpainter": // two channels and a hole
		return []int{2, 12, 12, 3}
	}
	return images
}

// TestBattery: every network.
func TestBattery(t *testing.T) {
	for _, kind := range zoo.All() {
		t.Run(kind.Name, func(t *testing.T) { zootest.Run(t, quick(kind), inputs(quick(kind))) })
	}
	b := quick(zoo.Kind{Name: "resnet"}).(zoo.ResNet)
	b.Shortcut = "B"
	t.Run("resnet B with evonorm", func(t *testing.T) { zootest.Run(t, b.WithNorm(norm.NewEvoNorm("B0")), images) })
}

// TestPasses: every network in every kind of pass.
func TestPasses(t *testing.T) {
	for _, kind := range zoo.All() {
		sites := []string{pass.Input, pass.Kernel, pass.Features}
		if _, own := quick(kind).(zoo.OwnNorms); kind.Name != "two-layer" && !own || kind.Name == "rnn" { // two-layer has none by default
			sites = append(sites, pass.Norm)
		}
		if kind.Name != "rnn" {
			sites = append(sites, pass.Preactivation)
		}
		if kind.Name == "vit" || kind.Name == "decoder" {
			sites = append(sites, pass.Query, pass.Key, pass.Value, pass.Probabilities, pass.Stream)
		}
		if kind.Name == "unet" || kind.Name == "resnet" || kind.Name == "ibn-resnet" || kind.Name == "ibn-densenet" || kind.Name == "efficientnet-lite" ||
			kind.Name == "imagenet-resnet" || kind.Name == "convnext" ||
			kind.Name == "inpainter" {
			sites = append(sites, pass.Stream)
		}
		promises := []passtest.Claim{passtest.Shows(sites...)}
		if kind.Name == "vit" || kind.Name == "decoder" {
			promises = append(promises, passtest.WritesOut())
		}
		if n := quick(kind); n.Task() == zoo.Language {
			promises = append(promises, passtest.Reads(n.Outputs()))
		}
		if kind.Name == "mlp" {
			promises = append(promises, passtest.Compiled())
		}
		t.Run(kind.Name, func(t *testing.T) { passtest.Run(t, quick(kind), inputs(quick(kind)), promises...) })
	}

	// Behind a norm whose gradient does not follow it, no difference does either.
	c := quick(zoo.Kind{Name: "convnet"}).WithNorm(norm.NewUnified())
	t.Run("convnet unified", func(t *testing.T) {
		passtest.Run(t, c, images, passtest.Detached(), passtest.Shows(pass.Norm))
	})
}
