// Package bundle is the trained model: a folder that holds the weights, what they mean and where they come from.
//
//	model.safetensors   every variable of the network, bit for bit
//	ballast.json        Manifest: network and options, input shape, preprocessing, labels, calibration, provenance
//	README.md           model card for people, made from the manifest
//
// Save writes the folder whole or not at all; Open checks each tensor against the network before anything runs. A model answers by a
// Forward, which is compiled once for a size of batch:
//
//	b, err := bundle.Open("digits")
//	forward, err := b.NewForward(e, 64)      // e from engine.Open
//	logits, err := forward.Logits(x, n)      // x [n, InputShape...], raw; logits [n, classes]
package bundle

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/zoo"
)

// SchemaVersion is the newest version of ballast.json; this package reads it and older ones. What has no more than a temperature is written as
// version 1, which older builds open too.
const SchemaVersion = 2

// The files of a bundle folder.
const (
	WeightsFile  = "model.safetensors"
	ManifestFile = "ballast.json"
	CardFile     = "README.md"
)

// AdapterFile is what the folder of an adapter has (package adapt), which holds its bundle in a folder of its own.
const AdapterFile = "adapter.json"

// scopeName is the scope of the network in the store: its variables are /model/....
const scopeName = "model"

// Manifest says what the weights are: ballast.json.
type Manifest struct {
	SchemaVersion int                `json:"schema_version"`    // version of this layout
	Name          string             `json:"name"`              // what to call the model
	Task          zoo.Task           `json:"task,omitempty"`    // what the answers are; absent = classify
	Network       zoo.Choice         `json:"network"`           // architecture and its options
	InputShape    []int              `json:"input_shape"`       // one example: [h, w, c], [features], or [time] of a text
	Preprocess    Preprocess         `json:"preprocessing"`     // applied to the input before the network
	Images        *Images            `json:"images,omitempty"`  // how images of other sizes become ones of input_shape before that; absent = they are refused
	Labels        []string           `json:"labels"`            // name of each output, in their order; of a task without classes there may be none
	Calibration   Calibration        `json:"calibration"`       // applied to the logits after the network
	Metrics       map[string]float64 `json:"metrics,omitempty"` // measured when the model was made
	Provenance    Provenance         `json:"provenance"`        // where the weights come from
}

// Provenance says how the weights were made; Ballast fills it in when it trains.
type Provenance struct {
	Recipe       any               `json:"recipe,omitempty"`        // resolved recipe of the training run
	Seed         uint64            `json:"seed"`                    // master seed
	Data         string            `json:"data,omitempty"`          // name of the training set
	DataChecksum string            `json:"data_checksum,omitempty"` // of the training examples and labels
	DataLicence  string            `json:"data_licence,omitempty"`
	ClassCounts  []int             `json:"class_counts,omitempty"` // training examples of each class, as they were trained on
	Engine       string            `json:"engine,omitempty"`       // kind of engine: xla:cpu, xla:cuda, go
	Versions     map[string]string `json:"versions,omitempty"`
	Created      time.Time         `json:"created"` // UTC
	Steps        int               `json:"steps,omitempty"`
	Derived      []string          `json:"derived,omitempty"` // what was done since, oldest first: "calibrate: temperature 1.7 ..."
}

// Answers is the task, Classify where the manifest says none.
func (m Manifest) Answers() zoo.Task {
	if m.Task == "" {
		return zoo.Classify
	}
	return m.Task
}

// NewManifest returns a manifest of an uncalibrated model without preprocessing.
func NewManifest(network zoo.Choice, inputShape []int, labels []string) Manifest {
	var task zoo.Task // none for classify, as manifests have always said it
	if network.Network != nil && network.Task() != zoo.Classify {
		task = network.Task()
	}
	return Manifest{
		SchemaVersion: 1,
		Task:          task,
		Network:       network,
		InputShape:    slices.Clone(inputShape),
		Labels:        slices.Clone(labels),
		Calibration:   Uncalibrated(),
	}
}

// maxRank is the most sides of an example: those of a video, and some to spare.
const maxRank = 8

// Validate says what is wrong with the manifest, if anything.
func (m Manifest) Validate() error {
	switch {
	case m.SchemaVersion < 1 || m.SchemaVersion > SchemaVersion:
		return fmt.Errorf("schema_version is %d, this build reads 1 to %d; use a newer ballast", m.SchemaVersion, SchemaVersion)
	case m.Network.Network == nil:
		return errors.New("network is missing")
	case len(m.InputShape) == 0:
		return errors.New("input_shape is empty; want [h, w, c] or [features]")
	case len(m.InputShape) > maxRank:
		return fmt.Errorf("input_shape has %d sides; want [h, w, c] or [features]", len(m.InputShape))
	case slices.Min(m.InputShape) < 1:
		return fmt.Errorf("input_shape is %v; every side must be at least 1", m.InputShape)
	}
	if err := m.Calibration.validate(m.Network.Outputs()); err != nil {
		return err
	}

	switch {
	case m.Answers() != m.Network.Task():
		return fmt.Errorf("task is %q, the network's is %q; correct task, or leave it out for classify", m.Answers(), m.Network.Task())
	case m.Answers() != zoo.Classify && m.Calibration.Temperature != 1:
		return fmt.Errorf("calibration.temperature is %v for task %s; logits of classes alone have one, so set it to 1", m.Calibration.Temperature, m.Answers())
	case m.Answers() != zoo.Classify && !m.Calibration.Plain():
		return fmt.Errorf("calibration has a map or sets for task %s; answers that are classes alone have them, so leave them out", m.Answers())
	case m.Answers() != zoo.Classify && len(m.Labels) == 0: // outputs without names
	case len(m.Labels) != m.Network.Outputs():
		return fmt.Errorf("labels has %d names, the network has %d outputs; give one name per output", len(m.Labels), m.Network.Outputs())
	}

	if _, err := untrusted.Bytes("input_shape", 4, m.InputShape...); err != nil {
		return err
	}
	if err := m.Network.Validate(); err != nil {
		return fmt.Errorf("network: %w", err)
	}

	if m.Answers() == zoo.Language {
		return m.validateText()
	}

	if m.Images != nil {
		if err := m.Images.Validate(); err != nil {
			return fmt.Errorf("images: %w", err)
		}
	}
	return m.Preprocess.validate(m.InputShape)
}

// Images is the part of a preprocessing that resizes and cuts; its numbers are in Manifest.Preprocess.
type Images = preprocess.Preprocess

// validateText says what is wrong with the inputs of a network that reads texts.
func (m Manifest) validateText() error {
	if len(m.InputShape) != 1 {
		return fmt.Errorf("input_shape is %v for task %s; want [time], the tokens of a text", m.InputShape, m.Answers())
	}
	p := m.Preprocess
	if len(p.Crop)+len(p.Resize)+p.Channels+len(p.Mean)+len(p.Std) > 0 {
		return fmt.Errorf("preprocessing is %+v for task %s; tokens are taken as they are, so leave it out", p, m.Answers())
	}
	return nil
}

// Takes is the type of the network's inputs: int32 for tokens of a text, float32 for everything else.
func (m Manifest) Takes() dtypes.DType {
	if m.Answers() == zoo.Language {
		return dtypes.Int32
	}
	return dtypes.Float32
}

// size returns the number of values of one example.
func (m Manifest) size() int {
	n := 1
	for _, d := range m.InputShape {
		n *= d
	}
	return n
}

// Bundle is a trained model in memory: the manifest and the store that holds the variables under /model.
type Bundle struct {
	Manifest Manifest
	Store    *model.Store
}

// Logits builds the whole model in a graph: preprocessing, network, calibration. x is [batch, InputShape...] float32 in
// the units of the data set ([0,1] for images), or int32 tokens; the result is [batch, classes], or what the task says. It may be called
// again in a graph, as in another pass. The scope must be the root scope of the
// store that holds the variables, usually b.Store.RootScope().
func (b *Bundle) Logits(scope *model.Scope, x *Node) *Node {
	return b.Manifest.Calibration.Apply(b.Manifest.Network.Apply(scope.At(scopeName), b.Manifest.Preprocess.Apply(x)))
}
