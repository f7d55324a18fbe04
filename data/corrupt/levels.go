package corrupt

import (
	"fmt"
)

// at is the constant of a severity: of a shift's own levels, or where it has none of the usual ones. It panics if the severity is not 1
// to 5 or there is not one level for each.
func at[T any](who string, own []T, usual [Severities]T, severity int) T {
	if severity < 1 || severity > Severities {
		panic(fmt.Errorf("corrupt: %s: severity is %d; use 1 to %d", who, severity, Severities))
	}
	if own == nil {
		return usual[severity-1]
	}
	if len(own) != Severities {
		panic(fmt.Errorf("corrupt: %s: there are %d levels; give one for each of %d severities", who, len(own), Severities))
	}
	return own[severity-1]
}
