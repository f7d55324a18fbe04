package calibrate_test

import (
	"encoding/json"
	"fmt"

	"github.com/ballast-ml/ballast/calibrate"
)

// A method fits to logits and labels; what it fits is applied to others, and is stored as JSON.
func ExampleMethod() {
	logits := []float64{4, 0, 3, 0, 0, 4, 2, 0, 0, 3, 5, 0}
	labels := []int32{0, 0, 1, 1, 1, 0}
	x, err := calibrate.NewExamples(logits, labels, 2)
	if err != nil {
		panic(err)
	}
	method, err := calibrate.Named("histogram", map[string]any{"bins": 2})
	if err != nil {
		panic(err)
	}
	fit, err := method.Fit(x)
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(fit.Fitted)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
	// Output: {"name":"histogram","edges":[[0.5],[0.5]],"values":[[0,0.75],[0.25,1]]}
}

// A set of classes holds the right one as often as was asked for.
func ExampleConformal() {
	var logits []float64
	var labels []int32
	for i := range 20 { // the larger the first logit, the surer
		logits, labels = append(logits, float64(i)/4, 0), append(labels, int32(i%5/4))
	}
	x, err := calibrate.NewExamples(logits, labels, 2)
	if err != nil {
		panic(err)
	}
	sets, err := calibrate.Conformal{Score: calibrate.LAC, Coverage: 0.8}.FitSets(x)
	if err != nil {
		panic(err)
	}
	sure, _ := sets.Of([]float64{4, 0}, 0)
	torn, _ := sets.Of([]float64{0.2, 0}, 0)
	fmt.Println(sure, torn)
	// Output: [0] [0 1]
}
