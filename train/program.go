package train

import (
	"fmt"

	"github.com/gomlx/compute/distributed"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"
)

// spread says on which devices programs run.
type spread struct {
	backend model.Backend
	store   *model.Store
	mesh    *distributed.DeviceMesh // nil for one device
}

// compile returns a program for the graph and the batch the feeds give.
func (s spread) compile(build func(*model.Scope, []*Node)) (*model.Exec, error) {
	var exec, alone *model.Exec
	var err error
	if s.mesh == nil {
		exec, err = model.NewExec(s.backend, s.store, build)
		if err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		return exec, nil
	}
	// A graph that is built must not find how its variables are spread, which the engine takes for a sharding that it does
	// not know; the call behind it must, to put a copy on each device.
	exec, err = model.NewExec(s.backend, s.store, func(scope *model.Scope, inputs []*Node) {
		check := func(err error) {
			if err != nil {
				panic(err)
			}
		}
		check(alone.SetDefaultShardingSpec(nil))
		for v := range s.store.IterVariables() {
			check(together(v))
		}
		build(scope, inputs)
		check(exec.SetDefaultShardingSpec(nil)) // a copy on each device of its mesh
	})
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if alone, err = model.NewExec(s.backend, s.store, func(*model.Scope, []*Node) {}); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return exec.SPMD(s.mesh), nil
}

// together brings a variable back from the devices.
func together(v *model.Variable) error {
	if v.ShardingSpec() == nil || !v.HasValue() {
		return nil
	}
	value, err := v.Value()
	if err != nil {
		return err
	}
	copied, err := value.LocalClone()
	if err != nil {
		return err
	}
	if err := v.SetValue(copied); err != nil {
		return err
	}
	return v.SetShardingSpec(nil)
}
