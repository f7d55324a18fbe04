package train

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train/update"
)

// course is the numbers of each update: the columns of the table that a pass brings to the device, one row an update. They are computed on
// the host in float64, a whole pass at once.
type course struct {
	names   []string
	columns []optim.Column
	plan    plan
	seed    uint64
}

// course lists the columns of what moves and of what the objective asks for.
func (r Recipe) course(p plan, goals []goal, asked []optim.Column) (course, error) {
	c := course{plan: p, seed: r.Seed}
	if err := c.setup(goal{setup: r.setup()}, p.course); err != nil {
		return c, err
	}
	first := map[string]goal{}
	for _, g := range goals {
		if !g.own {
			continue
		}
		if other, known := first[g.name]; known {
			if !reflect.DeepEqual(other.setup, g.setup) {
				return c, fmt.Errorf("train: two goals of the objective are named %s and have different optimizers; give each a name of its own", g.name)
			}
			continue
		}
		first[g.name] = g
		own, err := g.setup.Schedule.Course(g.setup.Optimizer.Rate(), r.BatchSize, p.stepsPerEpoch, p.steps)
		if err != nil {
			return c, err
		}
		if err := c.setup(g, own); err != nil {
			return c, err
		}
	}
	for _, column := range asked {
		if err := c.add(column); err != nil {
			return c, err
		}
	}
	return c, nil
}

// asked are the columns of all phases. One that several phases have by the same name is, in each of them, that phase's own.
func asked(phases []update.Phase) []optim.Column {
	var all []optim.Column
	for _, p := range phases {
		for _, c := range p.Columns {
			if slices.ContainsFunc(all, func(o optim.Column) bool { return o.Name == c.Name }) {
				continue
			}
			all = append(all, optim.Column{Name: c.Name, At: func(u, updates int, r *rand.Rand) float64 {
				at, _ := update.PhaseAt(phases, u)
				for _, own := range phases[at].Columns {
					if own.Name == c.Name {
						return own.At(u, updates, r)
					}
				}
				return c.At(u, updates, r)
			}})
		}
	}
	return all
}

// setup adds the rate of what moves, and the columns of its optimizer.
func (c *course) setup(g goal, rates optim.Course) error {
	err := c.add(rateColumn(g.rate(), rates))
	for _, column := range g.setup.Optimizer.Columns() {
		if err == nil {
			column.Name = g.column(column.Name)
			err = c.add(column)
		}
	}
	return err
}

// rateColumn is the learning rates of a course.
func rateColumn(name string, rates optim.Course) optim.Column {
	return optim.Column{Name: name, At: func(update, _ int, _ *rand.Rand) float64 { return rates.Rate(update) }}
}

func (c *course) add(column optim.Column) error {
	if slices.Contains(c.names, column.Name) {
		return fmt.Errorf("train: there are two columns %s; a name belongs to one", column.Name)
	}
	c.names, c.columns = append(c.names, column.Name), append(c.columns, column)
	return nil
}

// table is the rows of the updates from first on.
func (c course) table(first, updates int) []float32 {
	rows := make([]float32, 0, updates*len(c.columns))
	for u := first; u < first+updates; u++ {
		for _, column := range c.columns {
			r := rand.New(rand.NewPCG(c.seed^hashed(column.Name), uint64(u)))
			rows = append(rows, float32(column.At(u, c.plan.steps, r)))
		}
	}
	return rows
}
