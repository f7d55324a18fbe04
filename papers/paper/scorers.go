package paper

import (
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/merge/tuned"
)

// Scorers measure weights put into a model on each part; done closes them.
func Scorers(b *bundle.Bundle, e *engine.Engine, parts map[string]tuned.Examples) (scorers map[string]*tuned.Scorer, done func(), err error) {
	scorers = map[string]*tuned.Scorer{}
	done = func() {
		for _, s := range scorers {
			s.Close()
		}
	}
	for name, x := range parts {
		scorer, err := tuned.NewScorer(b, e, x)
		if err != nil {
			done()
			return nil, nil, err
		}
		scorers[name] = scorer
	}
	return scorers, done, nil
}
