package zoo_test

import (
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/zoo"
)

func TestEmbedderRefuses(t *testing.T) {
	for want, network := range map[string]zoo.Embedder{
		"trunk is missing; name a network, such as mlp":                      {Size: 8},
		"trunk unet is for the task segment; take a network that classifies": {Trunk: zoo.Choice{Network: zoo.NewUNet()}, Size: 8},
		"outputs is 1; use at least 2":                                       zoo.NewEmbedder().WithOutputs(1).(zoo.Embedder),
	} {
		if err := network.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want one that says %q", err, want)
		}
	}
}

func TestLayersOf(t *testing.T) {
	e := zoo.NewEmbedder()
	if got, want := len(zoo.LayersOf(e)), len(e.Trunk.Network.(zoo.Layered).Layers()); got != want {
		t.Errorf("an embedder has %d layers, its trunk %d", got, want)
	}
	if got := zoo.LayersOf(zoo.NewRNN()); got != nil {
		t.Errorf("an RNN has %d layers; want none", len(got))
	}
}
