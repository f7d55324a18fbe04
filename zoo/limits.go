package zoo

import (
	"fmt"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// The limits of a network's options, which may come from a stranger's recipe or bundle. What the variables take together is held against
// the memory's limit when they are made; these numbers keep graphs small and products of two options within an int.
const (
	maxLayers   = 2048    // layers of a network, those of all blocks together; ResNets of 1202 were published
	maxUnits    = 1 << 24 // units, filters, classes or tokens of one layer; the largest vocabularies have 2^18
	maxUpsample = 1 << 22 // of rows times rows of the image: elements of the matrix that resizes it
)

// count refuses an option below least or above maxUnits.
func count(network, key string, value, least int) error {
	switch {
	case value < least && least == 0:
		return fmt.Errorf("%s: %s is %d; use 0 for no such layer", network, key, value)
	case value < least:
		return fmt.Errorf("%s: %s is %d; use at least %d", network, key, value, least)
	case value > maxUnits:
		return fmt.Errorf("%s: %s is %d; use at most %d", network, key, value, maxUnits)
	}
	return nil
}

// counts refuses a list of options that is too long, or the first of its options that is below 1 or above maxUnits.
func counts(network, key string, list []int) error {
	if len(list) > maxLayers {
		return fmt.Errorf("%s: %s has %d numbers; use at most %d", network, key, len(list), maxLayers)
	}
	for i, value := range list {
		if err := count(network, fmt.Sprintf("%s.%d", key, i), value, 1); err != nil {
			return err
		}
	}
	return nil
}

// layers refuses more than maxLayers layers in all blocks together. It is for lists that counts has passed.
func layers(network, key string, list []int) error {
	total := 0
	for _, n := range list {
		if total += n; total > maxLayers {
			return fmt.Errorf("%s: %s are more than %d together; use fewer", network, key, maxLayers)
		}
	}
	return nil
}

// depth refuses more than maxLayers layers in blocks of the same number each.
func depth(network, key string, blocks, each int) error {
	if _, ok := untrusted.Product(maxLayers, blocks, each); !ok {
		return fmt.Errorf("%s: %s is %d in each of %d blocks; use at most %d layers together", network, key, each, blocks, maxLayers)
	}
	return nil
}
