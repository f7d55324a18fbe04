// Package own lets recipes and bundles name parts that your program defines: a norm, a loss, an optimizer, a network and anything else
// that Ballast chooses by name. There is no global registry: a program passes a Registry to the functions that read names:
//
//	what reads names                      where the registry goes
//	train.DecodeYAML, train.Resumes       last argument
//	train.Run, train.Open                 train.Options.Registry
//	bundle.Open, bundle.Inspect           last argument
//	adapt.Open                            last argument
//	lab.RecipeOwn, lab.Compare            first argument, lab.CompareOptions.Registry
//	package merge/tuned                   the field Registry of Soup, Patch, Extraction; last argument of functions
//	convert.RunBundle                     convert.Options.Registry
//
// Your own part is a plain struct that implements the interface of its seam and one more method, Name. Its exported fields are its options:
//
//	type Median struct {
//		Window int `json:"window"`
//	}
//
//	func (Median) Name() string { return "median" }
//
//	func (m Median) Apply(scope *model.Scope, x *graph.Node) *graph.Node { ... } // a norm.Layer
//
//	mine := own.Registry{Median{Window: 3}}
//
// A recipe then says norm: median, or norm: {name: median, window: 5}, and a bundle stores the same. Anything that they cannot store, such
// as an unexported field, is an error. A registry may hold values or pointers; it never changes them.
//
//	seam                            interface                      in a recipe
//	norm                            norm.Layer                     norm, network.norm
//	network                         zoo.Network                    network
//	activation                      linear.Function                network.activation
//	attention, positions, mixer     attention.Kernel, attention.Positions, mixer.Mixer
//	placement of norms              residual.Placement             network.placement
//	loss of an example, of a batch  loss.Loss, loss.Set            objective.loss, objective.extra
//	objective, module in training   update.Objective, objective.Between
//	optimizer, rule, watcher        optim.Optimizer, optim.Rule, optim.Watcher
//	sampler                         sample.Sampler                 sampler, streams
//	transform, mixing               augment.Transform, augment.Mixing
//	data, preparation               data.Source, data.Preparation  data, prepare
//	suite                           evaluate.Suite
//	method of adapting              adapt.Method                   in adapter.json
//	source of statistics            norm.Source                    statistics of a method of adapting
//	calibration, what it fits       calibrate.Method, calibrate.Fitted (of a bundle: bundle.InGraph)
package own

import "encoding/json"

// Named is a value that returns its name in recipes and bundles. The name must not be that of a value of Ballast's of the same
// seam. Options may decide on it; then a registry holds a value for each name.
type Named interface{ Name() string }

// Registry holds the parts that a program defines. Each value stands for its name with the options it has here as the defaults; of which
// seams it is, its methods say. Without any, names are Ballast's alone.
type Registry []Named

// Unmarshaler is a value that decodes itself and may hold names of a program's own. A network with an UnmarshalJSON of its own has
// UnmarshalOwn beside it, and passes r on; one without either needs nothing.
type Unmarshaler interface {
	json.Unmarshaler
	UnmarshalOwn(data []byte, r Registry) error
}

// Join is one registry of several, those of variadic arguments.
func Join(several []Registry) Registry {
	var all Registry
	for _, r := range several {
		all = append(all, r...)
	}
	return all
}
