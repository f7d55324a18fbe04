package bench

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
)

func TestSummary(t *testing.T) {
	r := summary([]float64{5, 1, 4, 2, 3})
	if r.Seconds != 3 || r.Quartile1 != 2 || r.Quartile3 != 4 || r.Min != 1 || r.Runs != 5 {
		t.Errorf("got %+v", r)
	}
	if r := summary([]float64{1, 2}); r.Seconds != 1.5 || r.Quartile1 != 1.25 {
		t.Errorf("got %+v", r)
	}
}

// TestChecks opens small lines of every suite, checks them and runs them.
func TestChecks(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		only := regexp.MustCompile(`4 kB|call of|3x3x64, |softmax of|identity of \[4096.*forward$|AdamW|optdigits|corrupt (jpeg|fog)`)
		if e.Kind == engine.KindGo {
			only = regexp.MustCompile(`4 kB|call of|1x1x64, forward|optdigits with contrast`)
		}
		file, err := Run(t.Context(), Options{Engine: e, Dir: t.TempDir(), Suites: Suites, Only: only.MatchString, Quick: true})
		if err != nil {
			t.Fatal(err)
		}
		suites := map[string]bool{}
		for _, l := range file.Lines {
			suites[l.Suite] = true
			if !(l.Min > 0 && l.Min <= l.Quartile1 && l.Quartile1 <= l.Seconds && l.Seconds <= l.Quartile3) {
				t.Errorf("%+v", l)
			}
			if l.Suite == "ops" && !(l.OfLimit > 0) {
				t.Errorf("%s has no limit beside it", l.Name)
			}
		}
		if len(suites) < 3 {
			t.Errorf("only %v ran", suites)
		}
		path := filepath.Join(t.TempDir(), "r.json")
		if err := file.Write(path); err != nil {
			t.Fatal(err)
		}
		again, err := Read(path)
		if err != nil || len(again.Lines) != len(file.Lines) || again.Machine != file.Machine {
			t.Errorf("%v, %+v", err, again)
		}
	})
}

// TestWrongIsNotTimed: a line whose check fails has no time.
func TestWrongIsNotTimed(t *testing.T) {
	l := Line{Suite: "ops", Name: "wrong", open: func(*Env) (Case, error) {
		return Case{Check: func() error { return errors.New("1 is not 2") }, Run: func() error { t.Error("it ran"); return nil }}, nil
	}}
	if _, err := measure(t.Context(), &Env{}, l, Line{}); err == nil || !strings.Contains(err.Error(), "1 is not 2") {
		t.Errorf("got %v", err)
	}
}

// TestBase: a line with a base is run in turns with it, and says so where it takes more than it should.
func TestBase(t *testing.T) {
	calls := ""
	line := func(name string, wait time.Duration) Line {
		return Line{Suite: "ops", Name: name, open: func(*Env) (Case, error) {
			return Case{Run: func() error { calls += name; time.Sleep(wait); return nil }}, nil
		}}
	}
	l := line("b", 6*time.Millisecond)
	l.Base, l.Most.OfBase = "a", 1.5
	r, err := measure(t.Context(), &Env{Quick: true}, l, line("a", 2*time.Millisecond))
	if err != nil || calls != "abab" || r.Base != "a" || !(r.OfBase > 1.5) {
		t.Fatalf("%v, runs %s, %+v", err, calls, r)
	}
	var b bytes.Buffer
	if err := (&File{Lines: []Result{r}}).Table(&b); err != nil || !strings.Contains(b.String(), "x a, should take at most 1.5") {
		t.Errorf("%v\n%s", err, b.String())
	}
	r.OfBase = 1.4
	if got := r.Missed(); got != "" {
		t.Error(got)
	}
}

func TestCompare(t *testing.T) {
	line := func(name string, q1, median, q3 float64) Result {
		return Result{Suite: "ops", Name: name, Quartile1: q1, Seconds: median, Quartile3: q3}
	}
	before := &File{Lines: []Result{line("a", 1, 2, 3), line("b", 1, 2, 3), line("gone", 1, 1, 1)}}
	after := &File{Lines: []Result{line("a", 4, 5, 6), line("b", 2, 2.5, 4), line("new", 1, 1, 1)}}
	list := Compare(before, after)
	if len(list) != 4 || !list[0].Clear || list[0].Ratio != 2.5 || list[1].Clear || list[2].Before != 0 || list[3].After != 0 {
		t.Errorf("got %+v", list)
	}
	var b bytes.Buffer
	if err := CompareTable(&b, list); err != nil || !strings.Contains(b.String(), "slower") || !strings.Contains(b.String(), "within the spread") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		`{"schema_version": 2}`:                            "schema_version",
		`{"schema_version": 1, "lines": [{"seconds": 0}]}`: "lines[0].seconds",
		`{"schema_version": 1, "lnes": []}`:                "lines",
		`[`:                                                "r.json",
		`{"schema_version": 1, "machine": {"cpu": "none like this"}}`: "",
	} {
		path := filepath.Join(t.TempDir(), "r.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var bad *fault.Input
		if _, err := Read(path); want != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", content, err, want)
		}
		if want == "" {
			if _, err := ReadPeers(path); !errors.As(err, &bad) || !strings.Contains(err.Error(), "measure the peer on this machine") {
				t.Errorf("got %v", err)
			}
		}
	}
	p := &Peers{Name: "other 1", Lines: []Peer{{Suite: "ops", Name: "a", Variant: "eager", Seconds: 2}}}
	if got := p.of(Line{Suite: "ops", Name: "a"}, 1); len(got) != 1 || got[0].Ratio != 0.5 || got[0].Variant != "other 1 eager" {
		t.Errorf("got %+v", got)
	}
}
