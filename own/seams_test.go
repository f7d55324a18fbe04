package own_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/data/stream"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/mixer"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/residual"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// options are those of every value below.
type options struct {
	Size int       `json:"size"`
	List []float64 `json:"list"`
}

func (options) Name() string { return "mine" }

// unable has what decoding calls.
type unable struct{}

func (unable) Validate() error { return nil }

// A value of each seam, whose other methods nothing calls here: the interface it lends them from is nil.
type (
	itsLayer struct {
		norm.Layer `json:"-"`
	}
	itsNetwork struct {
		zoo.Network `json:"-"`
	}
	itsFunction struct {
		linear.Function `json:"-"`
	}
	itsKernel struct {
		attention.Kernel `json:"-"`
	}
	itsPositions struct {
		attention.Positions `json:"-"`
	}
	itsMixer struct {
		mixer.Mixer `json:"-"`
	}
	itsPlacement struct {
		residual.Placement `json:"-"`
	}
	itsLoss struct {
		loss.Loss `json:"-"`
	}
	itsSet struct {
		loss.Set `json:"-"`
	}
	itsObjective struct {
		update.Objective `json:"-"`
	}
	itsBetween struct {
		objective.Between `json:"-"`
	}
	itsOptimizer struct {
		optim.Optimizer `json:"-"`
	}
	itsRule struct {
		optim.Rule `json:"-"`
	}
	itsWatcher struct {
		optim.Watcher `json:"-"`
	}
	itsSampler struct {
		sample.Sampler `json:"-"`
	}
	itsTransform struct {
		augment.Transform `json:"-"`
	}
	itsMixing struct {
		augment.Mixing `json:"-"`
	}
	itsSource struct {
		data.Source `json:"-"`
	}
	itsPrepare struct {
		data.Preparation `json:"-"`
	}
	itsAdapt struct {
		adapt.Method `json:"-"`
	}
	itsStatistics struct {
		norm.Source `json:"-"`
	}
	itsSuite struct {
		evaluate.Suite `json:"-"`
	}
	itsStream struct {
		stream.Stream `json:"-"`
	}
	itsMethod struct {
		calibrate.Method `json:"-"`
	}
	itsFitted struct {
		calibrate.Fitted `json:"-"`
	}
	ownLayer struct {
		itsLayer
		options
	}
	hiddenMethod struct{ itsMethod }
	ownMethod    struct {
		unable
		hiddenMethod
		options
	}
	ownFitted struct {
		itsFitted
		options
	}
	ownNetwork struct {
		unable
		hiddenNetwork
		options
	}
	hiddenNetwork struct{ itsNetwork }
	ownFunction   struct {
		itsFunction
		options
	}
	ownKernel struct {
		itsKernel
		options
	}
	ownPositions struct {
		itsPositions
		options
	}
	ownMixer struct {
		itsMixer
		options
	}
	ownPlacement struct {
		itsPlacement
		options
	}
	ownLoss struct {
		itsLoss
		options
	}
	ownSet struct {
		itsSet
		options
	}
	ownObjective struct {
		itsObjective
		options
	}
	ownBetween struct {
		itsBetween
		options
	}
	ownOptimizer struct {
		itsOptimizer
		options
	}
	ownRule struct {
		itsRule
		options
	}
	ownWatcher struct {
		itsWatcher
		options
	}
	ownSampler struct {
		itsSampler
		options
	}
	hiddenT      struct{ itsTransform }
	ownTransform struct {
		unable
		hiddenT
		options
	}
	hiddenM   struct{ itsMixing }
	ownMixing struct {
		unable
		hiddenM
		options
	}
	ownSource struct {
		itsSource
		options
	}
	ownPrepare struct {
		itsPrepare
		options
	}
	ownSuite struct {
		itsSuite
		options
	}
	ownAdapt struct {
		itsAdapt
		options
	}
	ownStatistics struct {
		itsStatistics
		options
	}
	hiddenStream struct{ itsStream }
	ownStream    struct {
		unable
		hiddenStream
		options
	}
)

// chosen is a choice of one seam, with what it holds.
type chosen interface {
	own.Unmarshaler
	json.Marshaler
}

// seams are every choice with a value of a program's own, the same for all: size 3 where the registry has 2.
func seams() map[chosen]own.Named {
	o := options{Size: 3, List: []float64{0.5}}
	return map[chosen]own.Named{
		&norm.Choice{Layer: ownLayer{options: o}}:                       ownLayer{},
		&zoo.Choice{Network: ownNetwork{options: o}}:                    ownNetwork{},
		&linear.Activation{Function: ownFunction{options: o}}:           ownFunction{},
		&attention.Choice{Kernel: ownKernel{options: o}}:                ownKernel{},
		&attention.PositionsChoice{Positions: ownPositions{options: o}}: ownPositions{},
		&mixer.Choice{Mixer: ownMixer{options: o}}:                      ownMixer{},
		&residual.Choice{Placement: ownPlacement{options: o}}:           ownPlacement{},
		&loss.Choice{Loss: ownLoss{options: o}}:                         ownLoss{},
		&loss.SetChoice{Set: ownSet{options: o}}:                        ownSet{},
		&objective.Choice{Objective: ownObjective{options: o}}:          ownObjective{},
		&objective.BetweenChoice{Between: ownBetween{options: o}}:       ownBetween{},
		&optim.Choice{Optimizer: ownOptimizer{options: o}}:              ownOptimizer{},
		&optim.RuleChoice{Rule: ownRule{options: o}}:                    ownRule{},
		&optim.WatcherChoice{Watcher: ownWatcher{options: o}}:           ownWatcher{},
		&sample.Choice{Sampler: ownSampler{options: o}}:                 ownSampler{},
		&augment.Choice{Transform: ownTransform{options: o}}:            ownTransform{},
		&augment.MixingChoice{Mixing: ownMixing{options: o}}:            ownMixing{},
		&data.Choice{Source: ownSource{options: o}}:                     ownSource{},
		&data.Step{Preparation: ownPrepare{options: o}}:                 ownPrepare{},
		&evaluate.Choice{Suite: ownSuite{options: o}}:                   ownSuite{},
		&adapt.Choice{Method: ownAdapt{options: o}}:                     ownAdapt{},
		&stream.Choice{Stream: ownStream{options: o}}:                   ownStream{},
		&norm.SourceChoice{Source: ownStatistics{options: o}}:           ownStatistics{},
		&calibrate.Choice{Method: ownMethod{options: o}}:                ownMethod{},
		&calibrate.FittedChoice{Fitted: ownFitted{options: o}}:          ownFitted{},
	}
}

// TestSeamsAreAll counts the places that read a name, so that none is without a line above.
func TestSeamsAreAll(t *testing.T) {
	reads := 0
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		reads += strings.Count(string(text), "choice.Decode(")
		return err
	})
	if want := len(seams()); err != nil || reads != want {
		t.Errorf("%d places read a name, %d are tested: %v", reads, want, err)
	}
}

// TestLibrariesHandTheRegistryOn: what opens a bundle for a program takes the program's registry. The command and what measures papers have
// none.
func TestLibrariesHandTheRegistryOn(t *testing.T) {
	opens := 0
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && slices.Contains([]string{"cmd", "papers", "bench", "testdata"}, e.Name()):
			return fs.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || f.Sel.Name != "Open" {
				return true
			}
			if x, ok := f.X.(*ast.Ident); ok && x.Name == "bundle" {
				if opens++; len(call.Args) < 2 {
					t.Errorf("%s opens a bundle without a registry", path)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || opens < 5 {
		t.Errorf("%d places open bundles: %v", opens, err)
	}
}

// TestSeams writes and reads a program's own value through every choice that Ballast has, with the registry and without.
func TestSeams(t *testing.T) {
	for c, n := range seams() {
		name := fmt.Sprintf("%T", c)
		text, err := json.Marshal(c)
		if err != nil || string(text) != `{"name":"mine","size":3,"list":[0.5]}` {
			t.Errorf("%s is written as %s, %v", name, text, err)
			continue
		}
		read := reflect.New(reflect.TypeOf(c).Elem())
		if err := strict.DecodeOwn(text, read.Interface(), own.Registry{n}); err != nil || !reflect.DeepEqual(read.Interface(), any(c)) {
			t.Errorf("%s is read as %+v, %v", name, read.Interface(), err)
		}
		short := reflect.New(reflect.TypeOf(c).Elem())
		if err := strict.DecodeOwn([]byte(`"mine"`), short.Interface(), own.Registry{n}); err != nil || short.Elem().Field(0).Elem().Type() != reflect.TypeOf(n) {
			t.Errorf("%s: mine is %+v, %v", name, short.Interface(), err)
		}
		if err := strict.DecodeOwn([]byte(`{"name":"mine","sise":3}`), short.Interface(), own.Registry{n}); err == nil || !strings.Contains(err.Error(), "did you mean size?") {
			t.Errorf("%s: got %v", name, err)
		}

		err = strict.Decode(text, reflect.New(reflect.TypeOf(c).Elem()).Interface())
		var unknown *choice.Unknown
		if _, source := c.(*data.Choice); !source && (!errors.As(err, &unknown) || unknown.Name != "mine") || err == nil || !strings.Contains(err.Error(), "mine") {
			t.Errorf("%s without the registry: %v", name, err)
		}
	}
}

// Apply settles which of two is meant: it is called by nothing.
func (ownFunction) Apply(x *graph.Node) *graph.Node { return x }
