package checkpoint_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// Two fine-tuned models are merged by TIES: where they pull a weight in opposite directions, the stronger one has it.
func ExampleNewPlan() {
	dir, err := os.MkdirTemp("", "merge")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder for temporary files
	for name, values := range map[string][]float32{"base": {0, 0, 0, 0}, "math": {4, 2, 0.5, -2}, "code": {2, -1, 0, -2}} {
		tensor := safetensors.FromFloat32s("weight", []int{4}, values)
		if err := safetensors.WriteFile(filepath.Join(dir, name+".safetensors"), []safetensors.Tensor{tensor}, nil); err != nil {
			log.Fatal(err)
		}
	}
	recipe, err := checkpoint.ParseRecipe("recipe.yaml", []byte(`
merge_method: ties
base_model: base.safetensors
models: [{model: math.safetensors}, {model: code.safetensors}]
parameters: {weight: 1, density: 0.75}
`))
	if err != nil {
		log.Fatal(err)
	}
	out := filepath.Join(dir, "merged.safetensors")
	plan, err := checkpoint.NewPlan(recipe, checkpoint.Options{Out: out, RecipeDir: dir, Memory: 256 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer plan.Close() //nolint:errcheck // the models were only read
	result, err := plan.Execute(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	merged, err := weights.Open(out)
	if err != nil {
		log.Fatal(err)
	}
	defer merged.Close() //nolint:errcheck // it was only read
	values := make([]float32, 4)
	if err := merged.ReadFloat32s("weight", 0, values); err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Method, len(result.Inputs), "inputs", values)
	// Output: ties 3 inputs [3 2 0 -2]
}
