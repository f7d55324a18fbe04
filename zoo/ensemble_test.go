package zoo_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/zoo"
)

// TestEnsemble: it answers with the mean of what its members answer by themselves, and no two members are alike.
func TestEnsemble(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		n := small["ensemble"].(zoo.Ensemble)
		n.Members = 3
		exec := model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) []*graph.Node {
			all := []*graph.Node{n.Apply(scope.At("model"), x)}
			for i := range n.Members {
				all = append(all, n.Of.Apply(scope.At("model").At("%s", n.Member(i)), x))
			}
			return all
		})
		x := make([]float32, 4*64)
		for i := range x {
			x[i] = float32(i%7) / 7
		}
		out := exec.MustCall(tensors.FromFlatDataAndDimensions(x, 4, 8, 8, 1))
		mean := tensors.MustCopyFlatData[float32](out[0])
		members := [][]float32{}
		for _, o := range out[1:] {
			members = append(members, tensors.MustCopyFlatData[float32](o))
		}
		for i, got := range mean {
			want := (float64(members[0][i]) + float64(members[1][i]) + float64(members[2][i])) / 3
			if math.Abs(float64(got)-want) > 1e-6 || members[0][i] == members[1][i] {
				t.Fatalf("answer %d is %v, the members give %v, %v and %v", i, got, members[0][i], members[1][i], members[2][i])
			}
		}
	})
}

func TestEnsembleRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"name": "ensemble", "members": 1}`:                         "ensemble: members is 1; use 2 to 64",
		`{"name": "ensemble", "members": 65}`:                        "ensemble: members is 65; use 2 to 64",
		`{"name": "ensemble", "of": "ensemble"}`:                     "ensemble: of is an ensemble; name one network, and say with members how many",
		`{"name": "ensemble", "of": {"name": "mlp", "hidden": [0]}}`: "mlp: hidden.0 is 0; use at least 1",
		`{"name": "ensemble", "of": "cn"}`:                           `no network "cn" (did you mean cnn?)`,
		`{"name": "ensemble", "off": "cnn"}`:                         "unknown key off (did you mean of?)",
	} {
		var c zoo.Choice
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	if err := (zoo.Ensemble{Members: 2}).Validate(); err == nil || !strings.Contains(err.Error(), "ensemble: of is missing") {
		t.Errorf("got %v", err)
	}
}
