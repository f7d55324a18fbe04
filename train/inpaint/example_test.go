package inpaint_test

import (
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/train/inpaint"
)

// What a run of the small configuration trains on: patches of pictures with holes, here of drawn canvases.
func ExampleConfig() {
	c := inpaint.NewSmallConfig()
	if err := c.Validate(); err != nil {
		log.Fatal(err)
	}
	recipe := c.Recipe(data.NewCanvas())
	fmt.Println(recipe.Network.Task(), recipe.Steps, recipe.BatchSize)
	// Output:
	// translate 1000 8
}
