package adapt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/internal/safepoint"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Answerer answers n examples; x is [n, InputShape...].
type Answerer func(ctx context.Context, x []float32, n int) ([]float32, error)

// RunOptions say what an adapter is taken through.
type RunOptions struct {
	Data  data.Dataset // whose classes are the model's, see data.Match
	Order []int32      // places in Data; nil = all of them, as they lie
	Batch int          // examples of a step, those of Model.Batch; the rest is a smaller step

	// Before is the model as it was, which is asked the same; nil = it is not.
	Before Answerer

	// From is where an earlier run stopped, whose state the adapter has; the zero value is the beginning.
	From Progress

	// Save, if not nil, is called behind every Every steps (0 = never in between), behind the last one, and when the run is cut short by its
	// context, with what From would be.
	Every int
	Save  func(Progress) error

	// Progress, if not nil, is told how many examples of how many were answered.
	Progress func(done, total int)
}

// Progress is how far a run has come, and what was counted on the way. Examples without a label count as answered and not as labelled.
type Progress struct {
	Examples      int   `json:"examples"`
	Labelled      int   `json:"labelled"`
	Right         int   `json:"right"`
	RightBefore   int   `json:"right_before"`   // of the model as it was
	Answers       []int `json:"answers"`        // by class
	AnswersBefore []int `json:"answers_before"` // of the model as it was
	Asked         bool  `json:"asked_before"`   // whether the model as it was answered too

	// Recent are answers by class of about the last ten steps, and what they are held against: those of the model as it was, or the labels.
	Recent         []float64 `json:"recent"`
	RecentExpected []float64 `json:"recent_expected"`
	Collapse       *Collapse `json:"collapse,omitempty"` // the first; nil = none

	// Of this run, and not of those it goes on from, so that what is saved depends on nothing but the examples.
	Timed         int     `json:"-"` // examples
	Seconds       float64 `json:"-"` // that they took
	SecondsBefore float64 `json:"-"` // that they took the model as it was
}

// Collapse is that an adapter gives nearly all examples one class, which the model as it was, or the labels, do not.
type Collapse struct {
	Examples int     `json:"examples"` // after which it was seen
	Class    int     `json:"class"`
	Share    float64 `json:"share"`    // of recent answers
	Expected float64 `json:"expected"` // share that the class has in the answers of the model as it was, or among the labels
}

// Accuracy is the share of labelled examples that were answered right; NaN of none.
func (p Progress) Accuracy() float64 { return share(p.Right, p.Labelled) }

// AccuracyBefore is that of the model as it was.
func (p Progress) AccuracyBefore() float64 { return share(p.RightBefore, p.Labelled) }

func share(part, of int) float64 {
	if of == 0 {
		return math.NaN()
	}
	return float64(part) / float64(of)
}

// Warning says that the adapter has collapsed, "" if it has not. labels are the names of the classes, nil if they are numbered.
func (p Progress) Warning(labels []string) string {
	c := p.Collapse
	if c == nil {
		return ""
	}
	name := fmt.Sprint(c.Class)
	if c.Class < len(labels) {
		name = strict.Short(labels[c.Class])
	}
	against := "the labels give"
	if p.Asked {
		against = "the model as it was gives"
	}
	return fmt.Sprintf("the adapter has collapsed: %d examples into the stream it gives %.0f %% of them the class %s, to which %s %.0f %%; "+
		"take a smaller learning rate or larger batches, or a method that trains nothing", c.Examples, 100*c.Share, name, against, 100*c.Expected)
}

// What counts as a collapse: that one class has more than collapsedShare of about the last 1/(1-recentDecay) steps, and less than
// expectedShare of what they are held against.
const (
	recentDecay    = 0.9
	collapsedShare = 0.9
	expectedShare  = 0.6
	stepsToJudge   = 5
)

// Run takes an adapter through a data set, step by step, and counts. The rest of the examples, fewer than a batch, is a step of its own,
// prepared before the first example is answered, so that a rest that the method refuses costs no work.
func Run(ctx context.Context, a Adapter, o RunOptions) (p Progress, err error) {
	order, err := o.order()
	if err != nil {
		return p, err
	}
	if rest := len(order) % o.Batch; rest > 0 {
		if prepared, ok := a.(Preparer); ok {
			if err := prepared.Prepare(rest); err != nil {
				return p, err
			}
		}
	}

	defer safepoint.Hold(ctx)()
	r := &runner{a: a, o: o, p: o.From.clone(), total: len(order)}
	r.p.Asked = o.Before != nil
	reader := data.NewReader(o.Data, order[o.From.Examples:], o.Batch, runtime.GOMAXPROCS(0), false)
	defer reader.Close()
	for {
		err := r.next(ctx, reader)
		if errors.Is(err, io.EOF) {
			return r.p, r.save()
		}
		if err != nil {
			if ctx.Err() != nil {
				err = errors.Join(err, r.save())
			}
			return r.p, err
		}
	}
}

// order is the places, checked.
func (o RunOptions) order() ([]int32, error) {
	if o.Data == nil || o.Batch < 1 {
		return nil, errors.New("adapt: run: give Data, and a Batch of at least 1")
	}
	order := o.Order
	if order == nil {
		order = make([]int32, o.Data.Len())
		for i := range order {
			order[i] = int32(i)
		}
	}
	if o.From.Examples > len(order) || o.From.Examples < len(order) && o.From.Examples%o.Batch != 0 {
		return nil, fmt.Errorf("adapt: run: it is to go on behind %d of %d examples, which is not behind a step of %d", o.From.Examples, len(order), o.Batch)
	}
	return order, nil
}

func (p Progress) clone() Progress {
	p.Answers, p.AnswersBefore = slices.Clone(p.Answers), slices.Clone(p.AnswersBefore)
	p.Recent, p.RecentExpected = slices.Clone(p.Recent), slices.Clone(p.RecentExpected)
	return p
}

// runner is a run in progress.
type runner struct {
	a     Adapter
	o     RunOptions
	p     Progress
	total int
	steps int // since the last save
}

// save tells Save how far the run is.
func (r *runner) save() error {
	if r.o.Save == nil {
		return nil
	}
	r.steps = 0
	return r.o.Save(r.p.clone())
}

// next takes one step.
func (r *runner) next(ctx context.Context, reader *data.Reader) error {
	b, err := reader.Next(ctx)
	if err != nil {
		return err
	}
	defer reader.Recycle(b)
	var before []float32
	if r.o.Before != nil {
		start := time.Now()
		if before, err = r.o.Before(ctx, b.X, b.N); err != nil {
			return err
		}
		r.p.SecondsBefore += time.Since(start).Seconds()
	}
	start := time.Now()
	answers, err := r.a.Answer(ctx, b.X, b.N)
	if err != nil {
		return err
	}
	r.p.Seconds += time.Since(start).Seconds()

	r.count(b, answers, before)
	if r.o.Progress != nil {
		r.o.Progress(r.p.Examples, r.total)
	}
	if r.steps++; r.o.Every > 0 && r.steps >= r.o.Every {
		return r.save()
	}
	return nil
}

// count counts a step.
func (r *runner) count(b data.Batch, answers, before []float32) {
	classes := len(answers) / max(1, b.N)
	if r.p.Answers == nil {
		r.p.Answers, r.p.AnswersBefore = make([]int, classes), make([]int, classes)
		r.p.Recent, r.p.RecentExpected = make([]float64, classes), make([]float64, classes)
	}
	for c := range classes {
		r.p.Recent[c] *= recentDecay
		r.p.RecentExpected[c] *= recentDecay
	}
	for i := range b.N {
		label := int(b.Labels[i])
		labelled := label >= 0 && label < classes
		if labelled {
			r.p.Labelled++
		}
		answer := best(answers[i*classes : (i+1)*classes])
		r.p.Answers[answer]++
		r.p.Recent[answer]++
		if labelled && answer == label {
			r.p.Right++
		}
		expected := label
		if before != nil {
			expected = best(before[i*classes : (i+1)*classes])
			r.p.AnswersBefore[expected]++
			if labelled && expected == label {
				r.p.RightBefore++
			}
		}
		if expected >= 0 && expected < classes {
			r.p.RecentExpected[expected]++
		}
	}
	r.p.Examples += b.N
	r.p.Timed += b.N
	r.judge()
}

// best is the place of the largest value, the first of several; NaN is never larger.
func best(row []float32) int {
	at := 0
	for c, v := range row {
		if v > row[at] {
			at = c
		}
	}
	return at
}

// judge looks for a collapse.
func (r *runner) judge() {
	if r.p.Collapse != nil || r.p.Examples < stepsToJudge*r.o.Batch || len(r.p.Recent) < 2 {
		return
	}
	part := func(counts []float64, class int) float64 {
		sum := 0.0
		for _, v := range counts {
			sum += v
		}
		return counts[class] / max(sum, 1e-9)
	}
	class := 0
	for c, v := range r.p.Recent {
		if v > r.p.Recent[class] {
			class = c
		}
	}
	got, expected := part(r.p.Recent, class), part(r.p.RecentExpected, class)
	if got > collapsedShare && expected < expectedShare {
		r.p.Collapse = &Collapse{Examples: r.p.Examples, Class: class, Share: got, Expected: expected}
	}
}
