// Package suitetest is a battery for suites, of Ballast and of yours: it runs one on a tiny subject that needs no engine.
//
// What it holds a suite to:
//   - every number is finite, has a name that requirements can write, a direction, and the name of no other number;
//   - names stay: another seed and other examples give numbers of the same names, the same ones give the same bits;
//   - it asks the subject as often as its Needs announce;
//   - a need that is not met is a usage error that names the suite, and what it does not need it runs without;
//   - text, page and JSON show its section, and the JSON is read back to the same numbers.
package suitetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Run runs the battery. name is what the suite calls its section.
func Run(t *testing.T, name string, s evaluate.Suite) {
	t.Helper()
	if s.Asks() == "" || !strings.HasSuffix(s.Asks(), "?") {
		t.Errorf("it asks %q; want a question", s.Asks())
	}
	t.Run("numbers", func(t *testing.T) { checkNumbers(t, name, s) })
	t.Run("repeats", func(t *testing.T) { checkRepeats(t, s) })
	t.Run("passes", func(t *testing.T) { checkPasses(t, s) })
	t.Run("needs", func(t *testing.T) { checkNeeds(t, s) })
	t.Run("views", func(t *testing.T) { checkViews(t, name, s) })
}

// task is one that the suite takes.
func task(s evaluate.Suite) zoo.Task {
	if tasks := s.Needs().Tasks; len(tasks) > 0 {
		return tasks[0]
	}
	return zoo.Classify
}

// audit runs a suite on the tiny data, drawn from a seed.
func audit(t *testing.T, s evaluate.Suite, seed uint64) report.Report {
	t.Helper()
	ds := newSet(seed, false)
	r, err := evaluate.Run(t.Context(), whole{newSubject(task(s), ds)}, ds, evaluate.Options{Suites: []evaluate.Suite{s}, Seed: seed, Batch: 7})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// word is a name that a requirement can write.
var word = regexp.MustCompile(`^[a-z0-9_.-]+$`)

func checkNumbers(t *testing.T, name string, s evaluate.Suite) {
	r := audit(t, s, 1)
	section, ok := r.Section(name)
	if !ok || len(r.Sections) != 1 || len(section.Numbers) == 0 {
		t.Fatalf("no section %q with numbers: %+v", name, r.Sections)
	}
	seen := map[string]bool{}
	for _, n := range r.Values() {
		switch {
		case math.IsNaN(n.Value) || math.IsInf(n.Value, 0):
			t.Errorf("%s is %v", n.Name, n.Value)
		case !word.MatchString(n.Name):
			t.Errorf("a requirement cannot write the name %q", n.Name)
		case seen[n.Name]:
			t.Errorf("two numbers are called %s", n.Name)
		case !slices.Contains([]metric.Better{metric.Higher, metric.Lower, metric.Neither}, n.Better):
			t.Errorf("%s: better is %q", n.Name, n.Better)
		case n.Unit == metric.Share && (n.Value < 0 || n.Value > 1):
			t.Errorf("%s is a share of %v", n.Name, n.Value)
		}
		seen[n.Name] = true
	}
	for _, table := range section.Tables {
		for _, row := range table.Rows {
			if len(row.Values) != len(table.Columns) {
				t.Errorf("table %q: row %s has %d values for %d columns", table.Title, row.Name, len(row.Values), len(table.Columns))
			}
		}
	}
}

// names are those of a report's numbers.
func names(r report.Report) []string {
	var all []string
	for _, n := range r.Values() {
		all = append(all, n.Name)
	}
	return all
}

func checkRepeats(t *testing.T, s evaluate.Suite) {
	first, again, other := audit(t, s, 1), audit(t, s, 1), audit(t, s, 2)
	if !slices.Equal(first.Values(), again.Values()) {
		t.Errorf("the same audit twice:\n%v\n%v", first.Values(), again.Values())
	}
	if !slices.Equal(names(first), names(other)) {
		t.Errorf("names do not stay:\n%v\n%v", names(first), names(other))
	}
}

func checkPasses(t *testing.T, s evaluate.Suite) {
	ds := newSet(1, false)
	subject := newSubject(task(s), ds)
	told, announced := 0, 0
	_, err := evaluate.Run(t.Context(), whole{subject}, ds, evaluate.Options{Suites: []evaluate.Suite{s}, Batch: 7, Progress: func(done, total int) {
		if done < told || done > total {
			t.Errorf("progress went from %d to %d of %d", told, done, total)
		}
		told, announced = done, total
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := s.Needs().Passes * examples
	if s.Needs().Outputs {
		want += examples
	}
	if got := int(subject.answered.Load()); got != want || told != want || announced != want {
		t.Errorf("the subject answered %d examples, progress told of %d of %d; its needs announce %d", got, told, announced, want)
	}
}

// checkNeeds takes one thing after the other away.
func checkNeeds(t *testing.T, s evaluate.Suite) {
	needs := s.Needs()
	images, flat := newSet(1, false), newSet(1, true)
	answers, err := newSubject(task(s), images).Answer(t.Context(), images.pixels, examples)
	if err != nil {
		t.Fatal(err)
	}
	stored := saved{whole{newSubject(task(s), images)}, evaluate.Outputs{Narrow: answers, Examples: examples}, images.labels}
	for _, c := range []struct {
		without string
		needed  bool
		subject evaluate.Subject
		data    *set
	}{
		{"the task", len(needs.Tasks) > 0, whole{newSubject("divine", images)}, &images},
		{"a model", needs.Passes > 0 || needs.Images || needs.Features, stored, nil},
		{"images", needs.Images, whole{newSubject(task(s), flat)}, &flat},
		{"features and counts", needs.Features || needs.Counts, newSubject(task(s), images), &images},
	} {
		run := func(o evaluate.Options) (report.Report, error) {
			if c.data == nil {
				return evaluate.Run(t.Context(), c.subject, nil, o)
			}
			return evaluate.Run(t.Context(), c.subject, *c.data, o)
		}
		_, err := run(evaluate.Options{Suites: []evaluate.Suite{s}})
		var usage *fault.Usage
		switch {
		case !c.needed && err != nil:
			t.Errorf("without %s, which it says it does not need: %v", c.without, err)
		case c.needed && (!errors.As(err, &usage) || !strings.Contains(err.Error(), "the suite "+evaluate.Name(s)+" cannot be run: it needs ")):
			t.Errorf("without %s: got %v, want a usage error that names the suite and the need", c.without, err)
		}
	}
}

func checkViews(t *testing.T, name string, s evaluate.Suite) {
	one, other := audit(t, s, 1), audit(t, s, 2)
	var text, page, more bytes.Buffer
	compared := report.Comparison{What: "another draw", Before: one, After: other}
	several := report.NewSeveral([]report.Report{one, other})
	for _, err := range []error{one.Text(&text), one.HTML(&page), compared.Text(&more), compared.HTML(&more), several.Text(&more), several.HTML(&more)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	section, _ := one.Section(name)
	for _, n := range section.Numbers {
		if !strings.Contains(text.String(), n.Label()) || !strings.Contains(text.String(), n.Text()) {
			t.Errorf("the text does not show %s, %s:\n%s", n.Label(), n.Text(), text.String())
		}
	}

	content, err := json.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	var back report.Report
	if err := json.Unmarshal(content, &back); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back.Values(), one.Values()) {
		t.Errorf("read back from JSON:\n%v\nwant\n%v", back.Values(), one.Values())
	}
}
