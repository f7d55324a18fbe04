package evaluate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/metric"
)

// Audit is one subject on one data set: what suites ask their questions of. What several of them need is computed once.
type Audit struct {
	Subject  Subject
	Data     data.Dataset // nil where the subject's answers are there already
	Training data.Dataset // what the subject was trained on, or is said to have been; nil = not given
	Seed     uint64       // of whatever a suite draws

	notes       []string // of how the data fits the subject
	batch       int
	progress    func(done, total int)
	done, total int

	labels  []int32
	outputs *Outputs
	scores  *metric.Scores
}

// Labels are the right classes of the examples.
func (a *Audit) Labels() []int32 {
	if a.labels == nil && a.Data != nil {
		a.labels = data.Labels(a.Data)
	}
	return a.labels
}

// Classes are the names of a number of outputs, numbers where the subject has none.
func (a *Audit) Classes(outputs int) []string {
	names := a.Subject.Labels()
	if names == nil {
		for c := range outputs {
			names = append(names, fmt.Sprint(c))
		}
	}
	return names
}

// ClassName is what the data calls a class, a number where it does not say. A model that compares examples does not know their classes.
func (a *Audit) ClassName(label int) string {
	if a.Data != nil && label >= 0 && label < len(a.Data.Info().Classes) {
		return a.Data.Info().Classes[label]
	}
	return fmt.Sprint(label)
}

// Outputs are the subject's answers to the data as it is.
func (a *Audit) Outputs(ctx context.Context) (*Outputs, error) {
	if a.outputs != nil {
		return a.outputs, nil
	}
	answers, err := a.Answers(ctx, a.Data)
	if err != nil {
		return nil, err
	}
	a.outputs = &Outputs{Narrow: answers, Examples: a.Data.Len()}
	return a.outputs, nil
}

// Scores are the softmax of the answers of a classifier, against the labels.
func (a *Audit) Scores(ctx context.Context) (*metric.Scores, error) {
	if a.scores != nil {
		return a.scores, nil
	}
	outputs, err := a.Outputs(ctx)
	if err != nil {
		return nil, err
	}
	a.scores, err = outputs.score(a.Labels())
	return a.scores, err
}

// Answers runs another data set through the subject, such as a changed one, and returns the answers [examples, outputs].
func (a *Audit) Answers(ctx context.Context, ds data.Dataset) ([]float32, error) {
	return a.through(ctx, ds, a.Subject.Answer)
}

// Features are what the subject makes of each example of a data set before it answers, [examples, d].
func (a *Audit) Features(ctx context.Context, ds data.Dataset) (features []float32, d int, err error) {
	f, ok := a.Subject.(Featured)
	if !ok {
		return nil, 0, fmt.Errorf("evaluate: %s has no features to give", a.Subject.Name())
	}
	if features, err = a.through(ctx, ds, f.Features); err != nil {
		return nil, 0, err
	}
	return features, len(features) / max(ds.Len(), 1), nil
}

// TrainingCounts are how many examples of each class the subject was trained on: those of the training data if it is given, else what the
// subject knows.
func (a *Audit) TrainingCounts() ([]int, error) {
	if a.Training != nil {
		return classCounts(a.Training), nil
	}
	if t, ok := a.Subject.(Trained); ok && t.TrainingCounts() != nil {
		return t.TrainingCounts(), nil
	}
	return nil, fmt.Errorf("it needs the number of training examples of each class, which %s does not know; give its training data", a.Subject.Name())
}

// classCounts are the numbers of examples of each class of a data set.
func classCounts(ds data.Dataset) []int {
	counts := make([]int, len(ds.Info().Classes))
	for _, label := range data.Labels(ds) {
		for int(label) >= len(counts) {
			counts = append(counts, 0)
		}
		if label >= 0 {
			counts[label]++
		}
	}
	return counts
}

// through asks the subject about a whole data set, a batch after the other and some at the same time.
func (a *Audit) through(ctx context.Context, ds data.Dataset, ask func(ctx context.Context, x []float32, n int) ([]float32, error)) ([]float32, error) {
	if r, ok := a.Subject.(Restarted); ok {
		if err := r.Restart(); err != nil {
			return nil, err
		}
	}
	batch, calls := a.batch, 1
	if b, ok := a.Subject.(Batched); ok {
		batch, calls = b.Batch(), b.Calls()
	}
	order := make([]int32, ds.Len())
	for i := range order {
		order[i] = int32(i)
	}
	a.total = max(a.total, a.done+ds.Len()) // what no suite announced
	reader := data.NewReader(ds, order, batch, runtime.GOMAXPROCS(0), false)
	defer reader.Close()

	var (
		parts   [][]float32 // in the order of the batches
		mu      sync.Mutex  // guards parts, failure and the audit's counters
		wait    sync.WaitGroup
		failure error
		free    = make(chan struct{}, calls)
	)
	for {
		next, err := reader.Next(ctx)
		mu.Lock()
		if failure == nil && err != nil && !errors.Is(err, io.EOF) {
			failure = err
		}
		stop := err != nil || failure != nil
		place := len(parts)
		if !stop {
			parts = append(parts, nil)
		}
		mu.Unlock()
		if stop {
			break
		}

		free <- struct{}{}
		wait.Go(func() {
			out, err := ask(ctx, next.X, next.N)
			mu.Lock()
			defer mu.Unlock()
			<-free
			if err != nil {
				failure = errors.Join(failure, err)
				return
			}
			parts[place] = out
			reader.Recycle(next)
			if a.done += next.N; a.progress != nil {
				a.progress(a.done, a.total)
			}
		})
	}
	wait.Wait()
	return slices.Concat(parts...), failure
}

// Outputs are answers to examples, row after row, as float32 or as float64.
type Outputs struct {
	Narrow   []float32 // one of the two is set; it may be a view of a file
	Wide     []float64
	Examples int
}

// Width is the number of answers to an example.
func (o *Outputs) Width() int { return (len(o.Narrow) + len(o.Wide)) / max(o.Examples, 1) }

func (o *Outputs) score(labels []int32) (*metric.Scores, error) {
	if o.Narrow != nil {
		return metric.Score(o.Narrow, labels, o.Width())
	}
	return metric.Score(o.Wide, labels, o.Width())
}

func (o *Outputs) topK(labels []int32, k int) (float64, error) {
	if o.Narrow != nil {
		return metric.TopK(o.Narrow, labels, o.Width(), k)
	}
	return metric.TopK(o.Wide, labels, o.Width(), k)
}

func (o *Outputs) classwiseECE(labels []int32, bins int) (float64, error) {
	if o.Narrow != nil {
		return metric.ClasswiseECE(o.Narrow, labels, o.Width(), bins)
	}
	return metric.ClasswiseECE(o.Wide, labels, o.Width(), bins)
}
