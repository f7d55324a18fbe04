package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Suite is one set of questions to a model. A value holds its settings.
type Suite interface {
	Asks() string // the question, as help shows it
	Needs() Needs // what must be there; Run is called only where it is
	Run(ctx context.Context, a *Audit) (report.Section, error)
}

// Needs is what a suite cannot do without.
type Needs struct {
	Tasks    []zoo.Task // the subject's answers are of one of these; nil = any
	Outputs  bool       // the answers to the data as it is, which all suites share
	Passes   int        // times that the whole data set goes through the subject besides: saved outputs will not do
	Images   bool       // examples are images [height, width, channels]
	Features bool       // what the subject makes of an example before it answers
	Counts   bool       // how many examples of each class the subject was trained on
}

// Kind is a suite that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Suite]

// All is every suite, with its defaults, in the order in which they are run and shown.
func All() []Kind {
	return []Kind{
		{Name: "clean", New: func() Suite { return Clean{} }},
		{Name: "calibration", New: func() Suite { return NewCalibration() }},
		{Name: "shift", New: func() Suite { return NewShift() }},
		{Name: "translation", New: func() Suite { return NewTranslation() }},
		{Name: "shots", New: func() Suite { return NewShots() }},
		{Name: "pairs", New: func() Suite { return NewPairs() }},
	}
}

// Default is what is run where no suite is named: what can be asked of every model of a task, and of one that embeds, pairs.
func Default(task zoo.Task) []Suite {
	if task == zoo.Embed {
		return []Suite{NewPairs()}
	}
	return []Suite{Clean{}, NewCalibration(), NewShift()}
}

// Choice is a suite chosen by name: "clean", or {"name": "calibration", "bins": 20}.
type Choice struct{ Suite }

// MarshalJSON writes the name and the settings.
func (c Choice) MarshalJSON() ([]byte, error) { return choice.Encode("suite", All(), c.Suite) }

// UnmarshalJSON reads a name, or a name with settings; an unknown name or setting is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	if c.Suite, err = choice.Decode("suite", All(), data, r); err != nil {
		return err
	}
	if v, ok := c.Suite.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Name returns the name a suite has in All, or its Go type.
func Name(s Suite) string { return choice.NameOf(All(), s) }

// Names are the names of all suites.
func Names() []string {
	var names []string
	for _, k := range All() {
		names = append(names, k.Name)
	}
	return names
}

// Named returns suites by their names, in the order of All. settings hold, by the name of a suite, what takes the place of its defaults;
// nil = nothing. An unknown name, an unknown setting, and settings of a suite that is not named are usage errors.
func Named(names []string, settings map[string]any) ([]Suite, error) {
	for _, name := range names {
		if err := known(name); err != nil {
			return nil, err
		}
	}
	for name := range settings {
		if err := known(name); err != nil {
			return nil, err
		}
		if !slices.Contains(names, name) {
			return nil, &fault.Usage{Err: fmt.Errorf("evaluate: there are settings for the suite %s, which is not run; name it too", name)}
		}
	}

	var suites []Suite
	for _, k := range All() {
		if !slices.Contains(names, k.Name) {
			continue
		}
		s, err := withSettings(k.Name, settings[k.Name])
		if err != nil {
			return nil, &fault.Usage{Err: fmt.Errorf("evaluate: suite %s: %w", k.Name, err)}
		}
		suites = append(suites, s)
	}
	return suites, nil
}

// withSettings is the suite of a name with settings in the place of its defaults.
func withSettings(name string, settings any) (Suite, error) {
	fields := map[string]any{}
	if settings != nil {
		text, err := json.Marshal(settings)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &fields); err != nil {
			return nil, fmt.Errorf("settings are %s; want a mapping", strict.Short(string(text)))
		}
	}
	fields["name"] = name
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	var c Choice
	err = json.Unmarshal(text, &c)
	return c.Suite, err
}

// known refuses a suite that does not exist.
func known(name string) error {
	if slices.Contains(Names(), name) {
		return nil
	}
	if near, ok := strict.Nearest(name, Names()); ok {
		return &fault.Usage{Err: fmt.Errorf("evaluate: no suite %q; did you mean %q?", strict.Short(name), near)}
	}
	return &fault.Usage{Err: fmt.Errorf("evaluate: no suite %q; there are %s", strict.Short(name), strings.Join(Names(), ", "))}
}

// unmet says which need is not met, and what would meet it; "" = all are.
func (n Needs) unmet(a *Audit) string {
	if len(n.Tasks) > 0 && !slices.Contains(n.Tasks, a.Subject.Task()) {
		return fmt.Sprintf("it needs a model whose task is %s; that of %s is %s", anyOf(n.Tasks), a.Subject.Name(), a.Subject.Task())
	}
	if a.Data == nil && (n.Passes > 0 || n.Images || n.Features) {
		return "it needs the model and its data; saved outputs cannot be asked anew"
	}
	if n.Images && len(a.Data.Info().Shape) != 3 {
		return fmt.Sprintf("it needs images [height, width, channels]; an example of %s has shape %v", a.Data.Info().Name, a.Data.Info().Shape)
	}
	if n.Features {
		if _, ok := a.Subject.(Featured); !ok {
			return fmt.Sprintf("it needs features; %s has none to give", a.Subject.Name())
		}
	}
	if n.Counts {
		if _, err := a.TrainingCounts(); err != nil {
			return err.Error()
		}
	}
	return ""
}

// anyOf is a list of tasks as a sentence has it.
func anyOf(tasks []zoo.Task) string {
	var names []string
	for _, t := range tasks {
		names = append(names, string(t))
	}
	return strings.Join(names, " or ")
}
