package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/subject"
	"github.com/ballast-ml/ballast/zoo"
)

// named is a class with its probability.
type named struct {
	Label       string  `json:"label"`
	Probability float64 `json:"probability"`
}

// seen is what a classifier sees in an image.
type seen struct {
	File    string  `json:"file"`
	Classes []named `json:"classes"` // the most probable first
}

// checkImages refuses flags that are for arrays.
func (f runFlags) checkImages(cmd *cobra.Command) error {
	if f.top < 1 {
		return usagef("--top is %d; use at least 1", f.top)
	}
	return idle(cmd, "with images", "input", "output", "overwrite", "batch")
}

// runImages prints what a classifier sees in images.
func (a *app) runImages(ctx context.Context, model string, files []string, f runFlags) error {
	m, err := a.openSubject(model, f.subject)
	if err != nil {
		return err
	}
	if m.Bundle != nil && (m.Bundle.Manifest.Answers() != zoo.Classify || len(m.Bundle.Manifest.InputShape) != 3) {
		return usagef("%s takes %v for task %s; classifiers of images alone are run on images", model, m.Bundle.Manifest.InputShape, m.Bundle.Manifest.Answers())
	}
	ds, err := pictures(m, files)
	if err != nil {
		return err
	}
	e, err := a.subjectEngine([]*subject.Model{m}, len(files))
	if err != nil {
		return err
	}
	if e != nil {
		defer e.Close()
	}
	var found []seen
	err = a.askedOf(ctx, m, ds, e, func(s evaluate.Subject, _ evaluate.Options) error {
		found, err = lookAt(ctx, s, ds, files, f.top)
		return err
	})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(found)
	}
	for _, one := range found {
		fmt.Fprintln(a.out, printable.Line(one.File))
		for _, c := range one.Classes {
			fmt.Fprintf(a.out, "  %6.2f %%  %s\n", 100*c.Probability, printable.Line(c.Label))
		}
	}
	return nil
}

// pictures are images as a model takes them. Those for a bundle that says nothing of other sizes are resized.
func pictures(m *subject.Model, files []string) (data.Dataset, error) {
	channels := m.Target.Channels
	if m.Bundle != nil {
		channels = m.Bundle.Manifest.InputShape[2]
	}
	ds, err := data.OpenFiles(files, channels)
	if err != nil {
		return nil, err
	}
	if m.Bundle == nil || m.Bundle.Manifest.Images != nil {
		return m.Images(ds)
	}
	p, err := preprocess.New("0-1")
	if err != nil {
		return nil, err
	}
	shape := m.Bundle.Manifest.InputShape
	return p.Images(ds, preprocess.Target{Height: shape[0], Width: shape[1], Channels: shape[2]})
}

// lookAt asks about images one batch after the other.
func lookAt(ctx context.Context, s evaluate.Subject, ds data.Dataset, files []string, top int) ([]seen, error) {
	batch := 1
	if b, ok := s.(evaluate.Batched); ok {
		batch = max(1, b.Batch())
	}
	size := ds.Info().Size()
	found := make([]seen, 0, len(files))
	for first := 0; first < len(files); first += batch {
		n := min(batch, len(files)-first)
		x := make([]float32, n*size)
		for i := range n {
			if err := ds.Read(first+i, x[i*size:(i+1)*size]); err != nil {
				return nil, err
			}
		}
		logits, err := s.Answer(ctx, x, n)
		if err != nil {
			return nil, err
		}
		classes := len(logits) / n
		probabilities, err := metric.Softmax(logits, classes)
		if err != nil {
			return nil, err
		}
		for i := range n {
			found = append(found, seen{File: files[first+i], Classes: most(probabilities[i*classes:(i+1)*classes], s.Labels(), top)})
		}
	}
	return found, nil
}

// most are the most probable classes.
func most(probabilities []float64, labels []string, top int) []named {
	all := make([]named, len(probabilities))
	for i, p := range probabilities {
		all[i] = named{Label: fmt.Sprint(i), Probability: p}
		if i < len(labels) {
			all[i].Label = labels[i]
		}
	}
	slices.SortStableFunc(all, func(a, b named) int { return cmp.Compare(b.Probability, a.Probability) })
	return all[:min(top, len(all))]
}
