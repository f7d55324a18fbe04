package evaluate_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/format/npy"
)

// The saved outputs of any framework's model are audited as a bundle is: logits and labels, two .npy files.
func ExampleOpenSaved() {
	dir, err := os.MkdirTemp("", "saved")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	logits, labels := filepath.Join(dir, "logits.npy"), filepath.Join(dir, "labels.npy")
	// Four answers of which three are right, all with the same confidence.
	err = npy.WriteFile(logits, []int{4, 2}, []float32{4, 0, 4, 0, 0, 4, 4, 0})
	if err == nil {
		err = npy.WriteFile(labels, []int{4}, []int64{0, 0, 1, 1})
	}
	if err != nil {
		log.Fatal(err)
	}

	saved, err := evaluate.OpenSaved(logits, labels)
	if err != nil {
		log.Fatal(err)
	}
	defer saved.Close() //nolint:errcheck // it was only read
	report, err := saved.Report(evaluate.Options{Suites: []evaluate.Suite{evaluate.Clean{}, evaluate.NewCalibration()}})
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range report.Values() {
		if n.Name == "acc" || n.Name == "ece" || n.Name == "confidence" {
			fmt.Printf("%s %.3f\n", n.Name, n.Value)
		}
	}
	fit, err := saved.FitTemperature(calibrate.NewTemperatureScaling())
	fmt.Printf("a temperature of %.2f makes the confidence right: %v\n", fit.T, err)
	// Output:
	// acc 0.750
	// ece 0.232
	// confidence 0.982
	// a temperature of 3.64 makes the confidence right: <nil>
}
