package evaluate_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// shades is images in one of two greys, of which the class is the brighter one.
type shades struct{ shape []int }

func (s shades) Info() data.Info {
	return data.Info{Name: "shades", Examples: s.Len(), Shape: s.shape, Classes: []string{"dark", "bright"}, Images: true}
}
func (s shades) Len() int          { return 20 }
func (s shades) Label(i int) int32 { return int32(i % 2) }
func (s shades) Read(i int, dst []float32) error {
	for k := range dst {
		dst[k] = 0.2 + 0.4*float32(i%2)
	}
	return nil
}

// eye tells shades apart by their mean.
type eye struct{ echo }

func (eye) Answer(_ context.Context, x []float32, n int) ([]float32, error) {
	var out []float32
	for i := range n {
		mean := 0.0
		one := x[i*len(x)/n : (i+1)*len(x)/n]
		for _, v := range one {
			mean += float64(v) / float64(len(one))
		}
		out = append(out, float32(0.45-mean), float32(mean-0.45))
	}
	return out, nil
}

// TestShiftTables: a table's rows are its shifts, corruption errors are those of package metric, drawn frost is not in the mean, and what
// does not fit is left out or refused.
func TestShiftTables(t *testing.T) {
	subject := eye{echo{task: zoo.Classify}}
	run := func(shape []int, s evaluate.Shift) (report.Report, error) {
		return evaluate.Run(t.Context(), subject, shades{shape}, evaluate.Options{Suites: []evaluate.Suite{s}, Seed: 1})
	}
	s := evaluate.NewShift()
	s.Table, s.Shifts = "imagenet-c", []string{"brightness", "frost", "contrast"}
	r, err := run([]int{12, 12, 1}, s)
	if err != nil {
		t.Fatal(err)
	}
	// A dark image is taken for a bright one where it is made brighter by 0.3 or more, and frost changes it too; contrast changes no mean.
	for name, want := range map[string]float64{
		"shift.brightness.2.acc": 1, "shift.brightness.3.acc": 0.5, "shift.contrast.5.acc": 1, "shift.brightness.ce": 0.3, "shift.contrast.ce": 0,
		"shift.mce": 0.15, "shift.relative-mce": 0.15, "shift.brightness.relative-ce": 0.3,
	} {
		if got := number(t, r, name); math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if _, ok := r.Number("shift.frost.ce"); ok {
		t.Error("a drawn frost has a corruption error")
	}
	number(t, r, "shift.frost.3.acc")
	section, _ := r.Section("shift")
	if len(section.Notes) != 1 || !strings.Contains(section.Notes[0], "frost is marked with *") {
		t.Errorf("notes %v", section.Notes)
	}
	var page strings.Builder
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{page.String(), text.String()} {
		if !strings.Contains(shown, "frost*") || !strings.Contains(shown, "corruption error") {
			t.Error("frost* or the corruption error is not shown")
		}
	}

	// A report that is read again draws the same page.
	stored, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again report.Report
	if err := json.Unmarshal(stored, &again); err != nil {
		t.Fatal(err)
	}
	var other strings.Builder
	if err := again.HTML(&other); err != nil || other.String() != page.String() {
		t.Errorf("the page of the stored report differs (%v)", err)
	}

	s.Shifts, s.Reference, s.Severities = []string{"brightness"}, "alexnet", []int{5, 3}
	if r, err = run([]int{12, 12, 1}, s); err != nil {
		t.Fatal(err)
	}
	if got := number(t, r, "shift.mce"); math.Abs(got-0.5/0.565) > 1e-12 {
		t.Errorf("mCE beside AlexNet is %v", got)
	}
	if _, ok := r.Number("shift.brightness.4.acc"); ok {
		t.Error("severity 4 was run")
	}

	// Not square, and small: two of fifteen are left out.
	s = evaluate.NewShift()
	s.Table, s.Severities = "imagenet-c", []int{1}
	if r, err = run([]int{9, 8, 3}, s); err != nil {
		t.Fatal(err)
	}
	section, _ = r.Section("shift")
	if notes := strings.Join(section.Notes, "\n"); !strings.Contains(notes, "zoom-blur is left out") || !strings.Contains(notes, "defocus-blur is left out") {
		t.Errorf("notes %v", section.Notes)
	}

	for want, change := range map[string]func(s *evaluate.Shift){
		`no table "imagenet"; did you mean "imagenet-c"?`: func(s *evaluate.Shift) { s.Table = "imagenet" },
		`no shift "fgo"; did you mean "fog"?`:             func(s *evaluate.Shift) { s.Table, s.Shifts = "cifar-c", []string{"fgo"} },
		"the table ballast has no shift":                  func(s *evaluate.Shift) { s.Shifts = []string{"fog"} },
		"it needs square ones":                            func(s *evaluate.Shift) { s.Table, s.Shifts = "cifar-c", []string{"zoom-blur"} },
		"severity 6; there are 1 to 5":                    func(s *evaluate.Shift) { s.Severities = []int{6} },
		"has no corruption errors for the reference":      func(s *evaluate.Shift) { s.Reference = "alexnet" },
		`no reference "alexnett"`:                         func(s *evaluate.Shift) { s.Table, s.Reference = "cifar-c", "alexnett" },
		"no error for \"speckle-noise\"": func(s *evaluate.Shift) {
			s.Table, s.Reference, s.Shifts = "imagenet-c", "alexnet", []string{"speckle-noise"}
		},
	} {
		s := evaluate.NewShift()
		change(&s)
		err := s.Validate()
		if err == nil {
			_, err = run([]int{12, 9, 3}, s)
		}
		var usage *fault.Usage
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	var input *fault.Input
	s = evaluate.NewShift()
	s.Table, s.Frost = "cifar-c", t.TempDir()+"/none"
	if _, err := run([]int{12, 12, 3}, s); !errors.As(err, &input) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestRequirementsOfTables: numbers of a table that is run are known before it is, and one of another table says where it is measured.
func TestRequirementsOfTables(t *testing.T) {
	requirements, err := evaluate.ParseRequirements("shift.fog.3.acc>=0.5,shift.defocus-blur.5.ece<=0.5,shift.zoom-blur.ce<=1,shift.mce<=1")
	if err != nil {
		t.Fatal(err)
	}
	s := evaluate.NewShift()
	s.Table = "cifar-c"
	if err := evaluate.CheckRequirements(requirements, []evaluate.Suite{s}); err != nil {
		t.Error(err)
	}
	var usage *fault.Usage
	err = evaluate.CheckRequirements(requirements, []evaluate.Suite{evaluate.NewShift()})
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "the table imagenet-c has it (--shifts imagenet-c)") {
		t.Errorf("got %v", err)
	}
}
