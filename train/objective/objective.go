// Package objective has the training objectives, one file each. Each is a plain value that implements update.Objective and is chosen in
// a recipe by name.
//
//	objective    streams            what an update minimises
//	supervised   train              the loss of each example; mixed examples, modules between features and head, losses of a batch
//	language     train              the cross-entropy of each token of a text, given those before it
//	semi         train, unlabeled   FixMatch and ShrinkMatch: the network's labels for a weak view, learned on a strong one
//	contrastive  train              a loss of the batch's vectors, compared with each other, with mixed examples and with other views
//	inpaint      train              losses of filled holes in images, against a discriminator that separates filled from real pixels
//	distil-heads train              copies of a trained network's last layers, by a small robust teacher on changed examples
//	two-networks train              ELR+: two networks in turn, each regularised by the predictions of an average of the other
package objective

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train/update"
)

// Kind is an objective that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[update.Objective]

// All is every objective that has a name, with its defaults.
func All() []Kind {
	return []Kind{
		{Name: "supervised", New: func() update.Objective { return NewSupervised() }},
		{Name: "language", New: func() update.Objective { return NewLanguage() }},
		{Name: "semi", New: func() update.Objective { return NewSemi() }},
		{Name: "contrastive", New: func() update.Objective { return NewContrastive() }},
		{Name: "inpaint", New: func() update.Objective { return NewInpaint() }},
		{Name: "two-networks", New: func() update.Objective { return NewTwoNetworks() }},
		{Name: "distil-heads", New: func() update.Objective { return NewDistilHeads() }},
	}
}

// Choice is an objective chosen by name in a recipe: "supervised", or {"name": "supervised", "loss": "elr"}. Options without a name are
// those of supervised.
type Choice struct{ update.Objective }

// MarshalJSON writes the name and the options. The name of an objective that is not in All is the one that it says itself, see package
// own, or its Go type: a recipe says what a run did, though only a program that has the type can do it again.
func (c Choice) MarshalJSON() ([]byte, error) {
	kinds := All()
	known := slices.ContainsFunc(kinds, func(k Kind) bool { return reflect.TypeOf(k.New()) == reflect.TypeOf(c.Objective) })
	if _, named := c.Objective.(own.Named); c.Objective != nil && !known && !named {
		kinds = append(kinds, Kind{Name: fmt.Sprintf("%T", c.Objective), New: func() update.Objective { return c.Objective }})
	}
	return choice.Encode("objective", kinds, c.Objective)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	var options map[string]json.RawMessage
	if json.Unmarshal(data, &options) == nil && options != nil && options["name"] == nil {
		options["name"] = json.RawMessage(`"supervised"`)
		if data, err = json.Marshal(options); err != nil {
			return err
		}
	}
	c.Objective, err = choice.Decode("objective", All(), data, r)
	return err
}

// Name returns the name an objective has in All, or its Go type.
func Name(o update.Objective) string { return choice.NameOf(All(), o) }

// fed refuses what an objective would not look at: streams that it does not ask for, and more views of an example of data than it takes.
func fed(name string, p update.Plan, views int, asked ...string) error {
	var errs []error
	for _, stream := range slices.Sorted(maps.Keys(p.Streams)) {
		if stream == update.Train || slices.Contains(asked, stream) {
			continue
		}
		asks := "the examples of data alone"
		if len(asked) > 0 {
			asks = "the examples of data and the stream " + strings.Join(asked, ", ")
		}
		errs = append(errs, usage("streams has %s, and objective %s learns from %s; leave streams.%[1]s out", strict.Short(stream), name, asks))
	}
	if have := p.Streams[update.Train].Views; have > views {
		errs = append(errs, usage("views has %d views, and objective %s learns from %d of each example; use one list of all transforms, for example "+
			"views: [[shift, noise]]", have, name, views))
	}
	return errors.Join(errs...)
}

// anyViews is for objectives that take as many views as there are, or refuse them by themselves.
const anyViews = math.MaxInt

// usage is an error of a recipe that asks for what an objective cannot do.
func usage(format string, args ...any) error {
	return &fault.Usage{Err: fmt.Errorf("recipe: "+format, args...)}
}
