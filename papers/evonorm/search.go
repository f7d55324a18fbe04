package evonorm

import (
	"context"
	"io"
	"path/filepath"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/report/figure"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/evosearch"
)

// search is the claim about the search, on two tiny networks. Candidates are trained on the Go engine, where nothing is compiled:
// on XLA a candidate costs three times as much, most of it for the compiler.
var search = paper.Claim{
	Name:       "search",
	Statement:  "nearly all random genomes are useless; with the same number of candidates trained, evolution finds layers at least as good as random search",
	Seeds:      3,
	Experiment: paper.NewExperiment(evosearch.NewSearch(), runSearch),
	Arms:       []paper.Arm{{Name: "evolution"}, {Name: "random", Overrides: []string{"random=true"}}},
	Check: func(m paper.Measured) []paper.Inequality {
		return []paper.Inequality{
			paper.AtLeast("rejection of random genomes >= 0.9", m.Mean("random", "rejection"), 0.9),
			paper.AtLeast("best of evolution >= best of random search", m.Mean("evolution", "best"), m.Mean("random", "best")),
		}
	},
}

func runSearch(ctx context.Context, at paper.Place, s evosearch.Search) (map[string]float64, error) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	s.Seed = at.Seed
	r, err := s.Run(ctx, evosearch.Options{Try: s.Try(train.Options{Engine: e}), Dir: filepath.Join(at.Dir, "search")})
	if err != nil {
		return nil, err
	}
	var survivors [][]float64
	for _, t := range r.Trials {
		if t.Rejected == "" {
			survivors = append(survivors, t.Accuracies)
		}
	}
	if err := drawFront(filepath.Join(at.Dir, "front.png"), survivors); err != nil {
		return nil, err
	}
	return map[string]float64{"rejection": r.RejectionRate(), "best": r.BestAccuracy(), "drawn": float64(r.Drawn), "trained": float64(len(r.Trials)), "survivors": float64(len(survivors))}, nil
}

// drawFront writes a picture of the survivors' accuracies on both anchors, with their Pareto front.
func drawFront(path string, survivors [][]float64) error {
	var both [][2]float64
	for _, a := range survivors {
		both = append(both, [2]float64{a[0], a[1]})
	}
	picture, err := figure.Front("Candidates that stay", "accuracy on the first anchor", "accuracy on the second anchor", both, evosearch.ParetoFront(survivors))
	if err != nil {
		return err
	}
	return durable.WriteFile(path, func(w io.Writer) error { _, err := w.Write(picture); return err })
}
