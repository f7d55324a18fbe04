package train

import (
	"context"
	"errors"
	"time"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
)

// Options is what a run needs besides its recipe; nothing in it changes the numbers.
type Options struct {
	Engine *engine.Engine // required
	Dir    string         // run folder: checkpoints go to Dir/checkpoints; "" writes none
	Resume bool           // go on from the newest valid checkpoint in Dir, if there is one

	Sink     Sink           // receives what is measured; nil = nobody
	Progress func(Progress) // called a few times a second, and at the end; nil = nobody
	Remark   func(string)   // receives one line for a person: a broken checkpoint skipped, ...; nil = nobody

	Data    data.Dataset // training examples; nil = opened from the recipe
	Test    data.Dataset // test examples; nil = opened from the recipe
	Weights []float32    // loss weight of each example of Data; nil = the recipe's file, or all 1

	DeviceBytes int64 // data sets up to this many bytes live on the device; 0 = 1 GiB
}

// Sink takes what a run measures. Log is called in the order of steps. Rewind is called when a run goes on from a
// checkpoint: what was logged after step must go, since it will be logged again. A sink with a method Sync() error has it
// called before each checkpoint, so that no checkpoint is ahead of what was logged.
type Sink interface {
	Log(step int, values map[string]float64) error
	Rewind(step int) error
}

// Progress is where a run stands.
type Progress struct {
	Step, Steps  int
	Epoch        int           // passes begun, from 1
	Loss         float64       // the last one logged; NaN before the first
	ExamplesRate float64       // examples a second
	Left         time.Duration // until the last update, at the present rate
}

// Result is a finished run.
type Result struct {
	Bundle   *bundle.Bundle     // the trained model; the weight average where the recipe asks for one
	Steps    int                // updates done
	Epochs   int                // passes begun
	Metrics  map[string]float64 // loss (training, last logged), and on the test part accuracy, nll; validation_...; fits of the distance monitor
	Distance []DistancePoint    // measurements of the distance monitor
	Fit      *DistanceFit       // their fit
	Seconds  float64            // wall time of this process
	Resumed  bool               // went on from a checkpoint
	From     int                // the step it went on from
	Best     float64            // best validation accuracy, 0 without validation examples
}

// Run trains a network. It stops early with an error when ctx is cancelled (after saving a checkpoint), when the loss is
// not finite (the last good checkpoint stays) and when a checkpoint cannot be written (the earlier ones stay).
func Run(ctx context.Context, r Recipe, o Options) (*Result, error) {
	return nil, errors.New("train: not built yet")
}
