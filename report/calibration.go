package report

import "github.com/ballast-ml/ballast/metric"

// Calibration is how far the confidences can be trusted: what the JSON holds of the suite calibration.
type Calibration struct {
	NLL          float64      `json:"nll"`   // nats
	Brier        float64      `json:"brier"` // sum over classes
	ECE          float64      `json:"ece"`   // Bins bins of equal width
	ECEMass      float64      `json:"ece_equal_mass"`
	ClasswiseECE float64      `json:"classwise_ece"`
	MCE          float64      `json:"mce"`
	Bins         int          `json:"bins"`
	Confidence   float64      `json:"mean_confidence"`
	Curve        []metric.Bin `json:"curve"` // reliability, equal width
}

// Section is the content as a section.
func (c Calibration) Section() Section {
	return Section{
		Suite:   "calibration",
		Content: c,
		Numbers: []metric.Number{
			{Name: "nll", Title: "NLL", Value: c.NLL, Better: metric.Lower, Unit: metric.Nats},
			{Name: "brier", Title: "Brier score", Value: c.Brier, Better: metric.Lower},
			{Name: "ece", Title: "ECE, equal width", Value: c.ECE, Better: metric.Lower},
			{Name: "ece_mass", Title: "ECE, equal mass", Value: c.ECEMass, Better: metric.Lower},
			{Name: "classwise_ece", Title: "classwise ECE", Value: c.ClasswiseECE, Better: metric.Lower},
			{Name: "mce", Title: "MCE", Value: c.MCE, Better: metric.Lower},
			{Name: "confidence", Title: "mean confidence", Value: c.Confidence, Better: metric.Neither, Unit: metric.Share},
		},
		Pictures: []Picture{{
			Title: "Can the confidences be trusted?", Draw: func(Report) ([]byte, error) { return ReliabilityPNG("", c.Curve) },
		}},
	}
}
