package adapt

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
)

// Tent makes the answers surer: it normalises with the batch and moves the scales and offsets of the norms, and nothing else, against the
// gradient of the mean entropy of the batch's answers:
//
//	L = mean_n -sum_c p_nc log p_nc      p = softmax(logits)
//
// The answer to a batch is the one before the update. The gradient flows through the statistics of the batch. Logits are the model's, a
// temperature in the bundle included. Of an image segmented, each pixel is a row of L.
//
// It works where batches are large and of many classes. With one or two examples, sorted streams or a large rate it drifts to few classes,
// and makes the model worse: that is no improvement to show. Networks whose norms collect nothing (layer, group) are trained too, with their
// own statistics. Refused are networks without trained scales and offsets of norms, and answers that are no logits of classes.
//
// The authors' settings: Adam at 1e-3 for batches of 200 small images, the default; SGD at 2.5e-4 with momentum 0.9 and Nesterov for 64 large
// ones; 1e-5 for sorted streams. Source: Wang, Shelhamer, Liu, Olshausen, Darrell, "Tent: Fully Test-Time Adaptation by Entropy Minimization",
// arXiv 2006.10726; settings from the code of arXiv 2401.08328.
type Tent struct {
	Statistics norm.SourceChoice `json:"statistics"` // where norms take them from; batch
	Optimizer  optim.Choice      `json:"optimizer"`  // adamw with lr 1e-3 and no decay
}

var _ Method = Tent{}

// NewTent returns the authors' settings for small images.
func NewTent() Tent {
	return Tent{Statistics: norm.SourceChoice{Source: norm.FromBatch{}}, Optimizer: adam()}
}

// Entropy is the mean entropy of the rows of logits [rows, classes], in nats.
func Entropy(logits *Node) *Node {
	logP := LogSoftmax(logits, -1)
	return Neg(ReduceAllMean(ReduceSum(Mul(Exp(logP), logP), -1)))
}

func (t Tent) trainer() affineTrainer {
	return affineTrainer{who: "tent", source: t.Statistics.Source, optimizer: t.Optimizer.Optimizer, loss: Entropy}
}

// Validate says what is wrong with the options, and how to fix it.
func (t Tent) Validate() error { return t.trainer().valid() }

// Start makes the adapter.
func (t Tent) Start(m Model) (Adapter, error) { return t.trainer().start(m) }
