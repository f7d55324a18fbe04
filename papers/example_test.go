package papers_test

import (
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/papers"
)

// What the command shows as "ballast papers": each paper with its claims, and what they measured when they were last measured.
func ExampleFind() {
	p, err := papers.Find("ghost-batch-norm")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Title)
	fmt.Println("https://arxiv.org/abs/" + p.ArXiv)
	_, err = papers.Find("ghost-batchnorm")
	fmt.Println(err)
	// Output:
	// Train longer, generalize better: closing the generalization gap in large batch training of neural networks
	// https://arxiv.org/abs/1705.08741
	// papers: no paper "ghost-batchnorm"; did you mean "ghost-batch-norm"?
}
