package metric

import (
	"fmt"
	"strings"
)

// Better says which of two values of a number is the better one.
type Better string

// The directions.
const (
	Higher  Better = "higher"
	Lower   Better = "lower"
	Neither Better = "none" // it describes a model, and neither end is good by itself
)

// Than reports whether a is better than b. Where neither direction is better, nothing is.
func (d Better) Than(a, b float64) bool {
	switch d {
	case Higher:
		return a > b
	case Lower:
		return a < b
	}
	return false
}

// The units that numbers are printed by; any other word is written after the number's title, and "" is a plain number.
const (
	Share = "share" // of 1, printed as a percentage
	Count = "count" // printed as a whole number
	Nats  = "nats"
)

// Number is one named result, with what a reader needs to judge it: tables, requirements and comparisons know no number by its name.
type Number struct {
	Name   string  `json:"name"`            // as settings and requirements write it: lower-case letters, digits, "_", "." and "-"
	Title  string  `json:"title,omitempty"` // as tables write it; "" = Name
	Value  float64 `json:"value"`
	Better Better  `json:"better"`
	Unit   string  `json:"unit,omitempty"`
	Means  string  `json:"means,omitempty"` // what it says, for a reader who meets it for the first time
}

// Label is what a table calls the number: its title, with the unit unless the value shows that.
func (n Number) Label() string {
	label := n.Title
	if label == "" {
		label = n.Name
	}
	if n.Unit != "" && n.Unit != Share && n.Unit != Count {
		label += " (" + n.Unit + ")"
	}
	return label
}

// Text is the value as a table shows it: a share in percent with two decimals, a count without, anything else with four.
func (n Number) Text() string { return n.text("%") }

// Change is the way from an earlier value to this one, as a table shows it: signed, of a share in points of a percent.
func (n Number) Change(earlier Number) string {
	n.Value -= earlier.Value
	return strings.TrimSuffix(n.text("%+"), " %")
}

// text formats the value with a verb that begins with start.
func (n Number) text(start string) string {
	switch n.Unit {
	case Share:
		return fmt.Sprintf(start+".2f %%", 100*n.Value)
	case Count:
		return fmt.Sprintf(start+".0f", n.Value)
	}
	return fmt.Sprintf(start+".4f", n.Value)
}

// Known are the numbers of all measures, without values.
func Known() []Number {
	var all []Number
	for _, k := range kinds {
		for _, n := range k.of(2).Numbers() {
			n.Value = 0
			all = append(all, n)
		}
	}
	return all
}

// Describe returns the number of a measure by its name, without a value; ok is false where no measure has it. It is how a name that
// someone typed, or that an old file holds without more, gets its direction.
func Describe(name string) (n Number, ok bool) {
	for _, k := range kinds {
		for _, n := range k.of(2).Numbers() {
			if n.Name == name {
				return n, true
			}
		}
	}
	return Number{}, false
}
