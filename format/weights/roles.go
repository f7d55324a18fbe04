package weights

import "strings"

// IsNorm reports whether a name is that of a norm: a part of it is bn1, batch_norm, norm or the like, or it is the norm of a
// downsampling branch, downsample.1, as residual networks of PyTorch have it.
func IsNorm(name string) bool {
	parts := nameParts(name)
	for i, part := range parts {
		part = strings.ToLower(part)
		if strings.Contains(part, "norm") || strings.HasPrefix(part, "bn") && strings.Trim(part[2:], "0123456789_") == "" {
			return true
		}
		if part == "downsample" && i+2 < len(parts) && parts[i+1] == "1" {
			return true
		}
	}
	return IsStatistic(name)
}

// IsStatistic reports whether a name is that of a running statistic of a norm, as Ballast, PyTorch or TensorFlow name them.
func IsStatistic(name string) bool {
	parts := nameParts(name)
	switch strings.ToLower(parts[len(parts)-1]) {
	case "running_mean", "running_var", "moving_mean", "moving_variance", "num_batches_tracked":
		return true
	case "mean", "variance", "var":
		return len(parts) > 1
	}
	return false
}

func nameParts(name string) []string {
	return strings.FieldsFunc(name+" ", func(r rune) bool { return r == '.' || r == '/' || r == ' ' })
}

// Matches reports whether a name matches a pattern; * matches any characters, slashes and dots too.
func Matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
