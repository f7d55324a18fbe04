package report

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/metric"
)

// Calibration is how far the confidences can be trusted: what the JSON holds of the suite calibration.
type Calibration struct {
	NLL          float64      `json:"nll"`   // nats
	Brier        float64      `json:"brier"` // sum over classes
	ECE          float64      `json:"ece"`   // Bins bins of equal width
	ECEMass      float64      `json:"ece_equal_mass"`
	ClasswiseECE float64      `json:"classwise_ece"`
	MCE          float64      `json:"mce"`
	AECE         float64      `json:"aece"` // bins of equally many examples, the first ones larger
	OE           float64      `json:"oe"`   // overconfidence error
	UE           float64      `json:"ue"`   // underconfidence error
	Bins         int          `json:"bins"`
	Confidence   float64      `json:"mean_confidence"`
	Curve        []metric.Bin `json:"curve"` // reliability, equal width
}

// TrustedECE is the ECE up to which a report says that the confidences can be trusted: they are off by two points of a percent on average.
const TrustedECE = 0.02

// Section is the content as a section.
func (c Calibration) Section() Section {
	return Section{
		Suite:   "calibration",
		Content: c,
		Where:   OnCleanData,
		Says:    c.says(),
		Main:    []Main{{"ece", "ECE"}, {"nll", "NLL"}},
		Numbers: []metric.Number{
			{
				Name: "nll", Title: "NLL", Value: c.NLL, Better: metric.Lower, Unit: metric.Nats,
				Means: "Negative log-likelihood: the mean of -ln(probability of the right class). 0 is certain and always right; being sure and wrong costs the most.",
			},
			{
				Name: "brier", Title: "Brier score", Value: c.Brier, Better: metric.Lower,
				Means: "The squared distance between the probabilities and the truth, summed over the classes and averaged over the examples: 0 is best, 2 is worst.",
			},
			{
				Name: "ece", Title: "ECE, equal width", Value: c.ECE, Better: metric.Lower,
				Means: fmt.Sprintf("Expected calibration error: the examples are put into %d groups by confidence, and in each the mean confidence is held against the share "+
					"that is right. The mean gap is the ECE: 0.05 says that the confidences are 5 points of a percent off.", c.Bins),
			},
			{
				Name: "ece_mass", Title: "ECE, equal mass", Value: c.ECEMass, Better: metric.Lower,
				Means: "The same error with groups of equally many examples, so that no group is nearly empty.",
			},
			{
				Name: "classwise_ece", Title: "classwise ECE", Value: c.ClasswiseECE, Better: metric.Lower,
				Means: "The same error of each class's probability, whether or not it is the answer, averaged over the classes.",
			},
			{
				Name: "mce", Title: "MCE", Value: c.MCE, Better: metric.Lower,
				Means: "Maximum calibration error: the largest gap of any of the groups, however few examples it holds.",
			},
			{
				Name: "aece", Title: "AECE", Value: c.AECE, Better: metric.Lower,
				Means: "Adaptive ECE: ECE, equal mass, by the definition that papers call AECE: where the examples cannot be split evenly, the groups of the least confidence are one larger.",
			},
			{
				Name: "oe", Title: "OE", Value: c.OE, Better: metric.Lower,
				Means: "Overconfidence error: the part of the ECE that comes from groups that are too sure, each weighted by its confidence: what costs most where a sure answer is acted upon.",
			},
			{
				Name: "ue", Title: "UE", Value: c.UE, Better: metric.Lower,
				Means: "Underconfidence error: the same of groups that are not sure enough.",
			},
			{
				Name: "confidence", Title: "mean confidence", Value: c.Confidence, Better: metric.Neither, Unit: metric.Share,
				Means: "The mean probability that the model gives its own answers. Above the accuracy the model is too sure, below it not sure enough.",
			},
		},
		Pictures: []Picture{{
			Title: "Can the confidences be trusted?", Draw: func(Report) (*Figure, error) { return reliabilityFigure(c.Curve), nil },
		}},
	}
}

// says is whether the confidences can be trusted, and if not, in which way they are wrong.
func (c Calibration) says() string {
	right, n := 0.0, 0
	for _, b := range c.Curve {
		right, n = right+b.Accuracy*float64(b.Count), n+b.Count
	}
	accuracy := right / float64(n)
	switch gap := c.Confidence - accuracy; {
	case c.ECE <= TrustedECE:
		return fmt.Sprintf("its confidences can be trusted (ECE %.4f)", c.ECE)
	case n == 0 || math.Abs(gap) < c.ECE/2:
		return fmt.Sprintf("its confidences are off in both directions (ECE %.4f)", c.ECE)
	case gap < 0:
		return fmt.Sprintf("it is less sure than it should be (%s on average, ECE %.4f)", percent(c.Confidence), c.ECE)
	}
	return fmt.Sprintf("it is surer than it should be (%s on average, ECE %.4f)", percent(c.Confidence), c.ECE)
}
