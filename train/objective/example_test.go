package objective_test

import (
	"encoding/json"
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/train/objective"
)

// A recipe names what an update minimises: here the cross-entropy of examples that are mixed in pairs.
func ExampleChoice() {
	var fromRecipe objective.Choice
	if err := json.Unmarshal([]byte(`{"loss": {"name": "cross-entropy", "label_smoothing": 0.1}, "mix": "mixup"}`), &fromRecipe); err != nil {
		log.Fatal(err)
	}
	o := fromRecipe.Objective.(objective.Supervised)
	fmt.Println(objective.Name(o), augment.MixingName(o.Mix.Mixing))
	err := json.Unmarshal([]byte(`{"name": "supervised", "mixing": "mixup"}`), &fromRecipe)
	fmt.Println(err)
	// Output:
	// supervised mixup
	// unknown key mixing; known here: between, extra, loss, mix
}
