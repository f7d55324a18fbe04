package temperatureoverlap

import (
	"testing"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
)

func TestGolden(t *testing.T) { golden.Run(t, "temperature-overlap", kinds()...) }

func kinds() []golden.Kind {
	return []golden.Kind{{
		Name:  "temperature scaling",
		Match: func(c *golden.Case) bool { return c.Has("params.num_classes", "inputs.logits", "inputs.labels") },
		Run: func(t golden.T, c *golden.Case) {
			p := struct {
				Classes int `json:"num_classes"`
			}{}
			c.Params(&p)
			logits := c.Tensor("inputs.logits")
			var labels []int
			for _, l := range c.Tensor("inputs.labels").Data {
				labels = append(labels, int(l))
			}
			fit, err := calibrate.FitTemperature(calibrate.NewTemperatureScaling(), logits.Data, labels, p.Classes)
			if err != nil {
				t.Fatalf("%v", err)
			}
			c.Scalar("nll_before", fit.NLLBefore)
			c.Scalar("temperature", fit.T)
			c.Scalar("nll_after", fit.NLLAfter)
			c.GotJSON("saturated", fit.Saturated)
			calibrate.Apply(logits.Data, fit.T)
			probabilities, err := metric.Softmax(logits.Data, p.Classes)
			if err != nil {
				t.Fatalf("%v", err)
			}
			c.Got("probs_after", logits.Shape, probabilities)
		},
	}}
}
