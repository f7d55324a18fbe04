package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/subject"
)

// sign writes into a report what it is of and by what it was made: the version and commit of this command, and the files.
func sign(r *report.Report, files []bundle.FileSum) {
	v := buildVersion()
	r.Version, r.Commit = v.Ballast, v.Commit
	for _, f := range files {
		r.Files = append(r.Files, report.File(f))
	}
}

// signModel is sign for the bundle in a folder.
func signModel(ctx context.Context, r *report.Report, dir string) error {
	files, err := bundle.Checksums(ctx, dir)
	if err != nil {
		return err
	}
	sign(r, files)
	return nil
}

// nextCalibrate is what to do about confidences that are off; ok is false where they can be trusted, or were not measured.
func (f evaluateFlags) nextCalibrate(r report.Report, model string) (next report.Next, ok bool) {
	ece, ok := r.Number("ece")
	if !ok || ece.Value <= report.TrustedECE {
		return next, false
	}
	next.Why = "its confidences are off; fit a temperature, and see what it changes"
	if f.saved.given() {
		args := []string{"ballast", "calibrate", "--logits", f.saved.logits, "--labels", f.saved.labels}
		if f.saved.outputs != "" {
			args = append(args, "--outputs", f.saved.outputs)
		}
		for _, label := range f.saved.ignore {
			args = append(args, fmt.Sprintf("--ignore-label=%d", label))
		}
		next.Command = shellLine(append(args, "--out", "scaled.npy")...)
		return next, true
	}
	args := append(append([]string{"ballast", "calibrate"}, f.subject.words(model)...), "--data", f.data)
	if f.part != "test" && f.part != "train" { // examples that the model was trained on say nothing of its confidences
		args = append(args, "--part", f.part)
	}
	args = append(args, f.taken.words()...)
	if f.byPlace {
		args = append(args, "--by-place")
	}
	if kind, _, err := subject.Find(model); f.subject.exec != "" || err == nil && kind == subject.OfONNX { // they are not written
		next.Command = shellLine(args...)
		return next, true
	}
	next.Command = shellLine(append(args, "--out", filepath.Base(filepath.Clean(model))+"-calibrated")...)
	return next, true
}

// nextShift asks for shifted inputs where other suites were named; ok is false where nobody can be asked, or the model takes no images.
func (f evaluateFlags) nextShift(r report.Report, model string) (next report.Next, ok bool) {
	_, asked := r.Section("shift")
	if _, classifies := r.Number("acc"); asked || !classifies || f.suites == nil || f.saved.given() {
		return next, false
	}
	args := append(append([]string{"ballast", "evaluate"}, f.subject.words(model)...), "--data", f.data)
	if f.part != "test" {
		args = append(args, "--part", f.part)
	}
	args = append(args, f.taken.words()...)
	if f.byPlace {
		args = append(args, "--by-place")
	}
	return report.Next{Why: "see what happens when the inputs change", Command: shellLine(append(args, "--suite", "shift")...)}, true
}

// nextRequire makes an audit a test that it passes now; ok is false where it is one, or where there is nothing to hold a model to.
func (f evaluateFlags) nextRequire(r report.Report, model string) (next report.Next, ok bool) {
	acc, ok := r.Number("acc")
	if !ok || f.require != "" {
		return next, false
	}
	thresholds := fmt.Sprintf("acc>=%.2f", math.Floor(100*acc.Value)/100)
	if ece, ok := r.Number("ece"); ok {
		thresholds += fmt.Sprintf(",ece<=%.2f", math.Max(0.01, math.Ceil(100*ece.Value)/100))
	}
	args := []string{"ballast", "evaluate"}
	if f.saved.given() {
		args = append(args, "--logits", f.saved.logits, "--labels", f.saved.labels)
		if f.saved.outputs != "" {
			args = append(args, "--outputs", f.saved.outputs)
		}
		for _, label := range f.saved.ignore {
			args = append(args, fmt.Sprintf("--ignore-label=%d", label))
		}
	} else {
		args = append(append(args, f.subject.words(model)...), "--data", f.data)
		if f.part != "test" {
			args = append(args, "--part", f.part)
		}
		args = append(args, f.taken.words()...)
		if f.byPlace {
			args = append(args, "--by-place")
		}
	}
	return report.Next{Why: "make this audit a test, which fails when the model becomes worse", Command: shellLine(append(args, "--require", thresholds)...)}, true
}

// next is what may be done about an audit: mend the confidences, or, where they can be trusted or have been fitted, hold the model to what
// it is.
func (f evaluateFlags) next(r report.Report, model string, fitted bool) []report.Next {
	asked := []func(report.Report, string) (report.Next, bool){f.nextCalibrate, f.nextShift, f.nextRequire}
	if fitted { // fitting again changes little
		asked = asked[1:]
	}
	for _, one := range asked {
		if n, ok := one(r, model); ok {
			return []report.Next{n}
		}
	}
	return nil
}

// plainWord is an argument that a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellLine is arguments as a shell reads them.
func shellLine(args ...string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = arg
		if !plainWord.MatchString(arg) {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
