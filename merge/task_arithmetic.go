package merge

// TaskArithmetic adds weighted differences from a base:
//
//	M = B + lambda sum w_i (T_i - B)        with Normalize the sum is divided by sum w_i (by 1 where that is below 1e-8)
//
// Source: Ilharco et al., "Editing Models with Task Arithmetic", arXiv 2212.04089.
type TaskArithmetic struct {
	Weight    []float64 `json:"weight"`    // a model; required
	Normalize bool      `json:"normalize"` // false
	Lambda    float64   `json:"lambda"`    // 1
}

var _ Method = TaskArithmetic{}

// NewTaskArithmetic returns the defaults.
func NewTaskArithmetic() TaskArithmetic { return TaskArithmetic{Lambda: 1} }

// Start checks the weights.
func (a TaskArithmetic) Start(t Target) (Merger, error) {
	c := consensus{weight: a.Weight, normalize: a.Normalize, lambda: a.Lambda}
	if err := c.check("task_arithmetic", t); err != nil {
		return nil, err
	}
	return taskArithmetic{c: c}, nil
}

type taskArithmetic struct {
	onePass
	c consensus
}

func (a taskArithmetic) Merge(dst []float32, b Block) {
	b.deltas()
	a.c.merge(dst, b)
}
