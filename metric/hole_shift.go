package metric

import "fmt"

// HoleStatistics are the moments of each channel of each image, [images, channels]: over the valid pixels alone, over the whole
// image with the hole filled, and how far the hole moves them.
type HoleStatistics struct {
	MeanValid, VarValid, MeanFull, VarFull, MeanShift, VarShift []float64
}

// HoleShift says how a hole filled with a constant moves the statistics that a normalisation over the whole image sees. x is
// [images, pixels, channels], mask [images, pixels] with 1 in the hole. With a the share of valid pixels,
//
//	mean_full - mean_valid = (1-a) (fill - mean_valid)
//	var_full - var_valid   = -(1-a) var_valid + a (1-a) (mean_valid - fill)^2
//
// variances biased. Source: Yu et al., "Region Normalization for Image Inpainting", arXiv 1911.10375.
func HoleShift(x, mask []float64, images, channels int, fill float64) (HoleStatistics, error) {
	if images < 1 || channels < 1 || len(x) != len(mask)*channels || len(mask)%images != 0 || len(mask) == 0 {
		return HoleStatistics{}, fmt.Errorf("metric: %d values and a mask of %d pixels do not make %d images of %d channels", len(x), len(mask), images, channels)
	}
	n := images * channels
	s := HoleStatistics{make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)}
	pixels := len(mask) / images
	for image := range images {
		holes := mask[image*pixels : (image+1)*pixels]
		valid := 0.0
		for _, hole := range holes {
			if hole == 0 {
				valid++
			}
		}
		if valid == 0 {
			return HoleStatistics{}, fmt.Errorf("metric: image %d is all hole; leave it out", image)
		}
		a := valid / float64(pixels)
		for c := range channels {
			at := image*channels + c
			value := func(i int) float64 { return x[(image*pixels+i)*channels+c] }
			for i, hole := range holes {
				if hole == 0 {
					s.MeanValid[at] += value(i) / valid
				}
			}
			for i, hole := range holes {
				if d := value(i) - s.MeanValid[at]; hole == 0 {
					s.VarValid[at] += d * d / valid
				}
			}
			d := s.MeanValid[at] - fill
			s.MeanShift[at] = -(1 - a) * d
			s.VarShift[at] = -(1-a)*s.VarValid[at] + a*(1-a)*d*d
			s.MeanFull[at], s.VarFull[at] = s.MeanValid[at]+s.MeanShift[at], s.VarValid[at]+s.VarShift[at]
		}
	}
	return s, nil
}
