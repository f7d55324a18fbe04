package evaluate

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/report"
)

// Requirement is a threshold for one number of a report: acc>=0.98.
type Requirement struct {
	Metric string
	Op     string // >=, >, <=, <
	Bound  float64
}

var requirement = regexp.MustCompile(`^\s*([a-z0-9_.-]+)\s*(>=|<=|>|<)\s*(\S+)\s*$`)

// ParseRequirements reads a list such as "acc>=0.98,ece<=0.02,shift.contrast.3.acc>=0.5".
func ParseRequirements(text string) ([]Requirement, error) {
	if text == "" {
		return nil, nil
	}
	var all []Requirement
	for part := range strings.SplitSeq(text, ",") {
		m := requirement.FindStringSubmatch(part)
		if m == nil {
			return nil, &fault.Usage{Err: fmt.Errorf("evaluate: requirement %q; write NAME>=NUMBER or NAME<=NUMBER, such as acc>=0.98", strict.Short(part))}
		}
		bound, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return nil, &fault.Usage{Err: fmt.Errorf("evaluate: requirement %q: %q is not a number", strict.Short(part), strict.Short(m[3]))}
		}
		if math.IsNaN(bound) {
			return nil, &fault.Usage{Err: fmt.Errorf("evaluate: requirement %q: nothing is above or below NaN; use a number", strict.Short(part))}
		}
		all = append(all, Requirement{m[1], m[2], bound})
	}
	return all, nil
}

// Require holds a report against requirements. Those that are not met come back as a *fault.Unmet with the values; a metric
// that the report does not have is a usage error that names the nearest.
func Require(r report.Report, requirements []Requirement) error {
	values := map[string]float64{}
	var names []string
	for _, v := range r.Values() {
		values[v.Name] = v.Value
		names = append(names, v.Name)
	}
	unmet := &fault.Unmet{}
	for _, q := range requirements {
		v, ok := values[q.Metric]
		if !ok {
			if near, ok := strict.Nearest(q.Metric, names); ok {
				return &fault.Usage{Err: fmt.Errorf("evaluate: the report has no %q; did you mean %q?", strict.Short(q.Metric), near)}
			}
			return &fault.Usage{Err: fmt.Errorf("evaluate: the report has no %q; it has %s", strict.Short(q.Metric), strings.Join(names, ", "))}
		}
		met := map[string]bool{">=": v >= q.Bound, ">": v > q.Bound, "<=": v <= q.Bound, "<": v < q.Bound}[q.Op]
		if !met {
			unmet.What = append(unmet.What, fmt.Sprintf("%s%s%v: it is %.6g", q.Metric, q.Op, q.Bound, v))
		}
	}
	if len(unmet.What) > 0 {
		return unmet
	}
	return nil
}
