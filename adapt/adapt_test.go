package adapt_test

import (
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/adapt/adapttest"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

// promised are the claims of the methods of All; one without an entry keeps a state, needs norms, and refuses single examples.
var promised = map[string][]adapttest.Claim{
	"batch":    {adapttest.Stateless()},
	"alpha-bn": {adapttest.Stateless()},
	"prior":    {adapttest.Stateless()},
	"unmix":    {adapttest.Single()},
	"cotta":    {adapttest.AnyNorms()},
	"lame":     {adapttest.Stateless(), adapttest.AnyNorms(), adapttest.Single()},
	"note":     {adapttest.Single()},
	"heads":    {adapttest.Stateless(), adapttest.AnyNorms(), adapttest.Single(), adapttest.On(branched)},
	"crops":    {adapttest.Stateless(), adapttest.AnyNorms(), adapttest.Single()},
	"rotta":    {adapttest.Single()},
}

// branched is a network with the heads that the method heads chooses from.
func branched(n zoo.Network) zoo.Network {
	return zoo.Branched{Trunk: zoo.Choice{Network: n}, Branches: []string{"robust", "combined"}}
}

// quick is a method with its defaults, but for those that take long.
func quick(k adapt.Kind) adapt.Method {
	switch m := k.New().(type) {
	case adapt.Cotta:
		m.Views = 2
		return m
	case adapt.Note: // learns within the battery's stream, on a full memory and on one that is not
		m.Capacity, m.Every = 10, 3
		return m
	case adapt.Crops: // images of the battery have six pixels a side
		m.Consistency, m.Crop, m.FilterSize = 0, 4, 3
		return m
	case adapt.Rotta:
		m.Capacity, m.Every = 10, 3
		return m
	default:
		return m
	}
}

// TestBattery goes over all methods.
func TestBattery(t *testing.T) {
	for _, k := range adapt.All() {
		t.Run(k.Name, func(t *testing.T) { adapttest.Run(t, quick(k), promised[k.Name]...) })
	}
}

// TestRefusesInWords: refusals name method, model, place and fix.
func TestRefusesInWords(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		bare := adapttest.NewBundle(t, e, adapttest.Network(norm.NewGroup()), []int{6, 6, 1})
		_, err := adapt.NewBatch().Start(adapt.Model{Bundle: bare, Engine: e, Batch: 4})
		for _, want := range []string{"adapt batch", "convnet", "no norm that collects", "batch normalisation"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
	})
}
