package untrusted_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

func TestCheckJSON(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		ok   bool
	}{
		{`{"a": 1, "b": [2, 3]}`, 5, true}, {`{"a": 1, "b": [2, 3]}`, 4, false},
		{`"a,b,[{"`, 1, true}, {`"a\",b,["`, 1, true}, {`"a\\", 1`, 1, false},
		{"", 1, true}, {strings.Repeat("[", 10), 9, false}, {`"open`, 1, true}, {`"\`, 1, true},
	} {
		err := untrusted.CheckJSON("config.json", []byte(c.text), c.most)
		var e *untrusted.Error
		if (err == nil) != c.ok || err != nil && !errors.As(err, &e) {
			t.Errorf("%s with at most %d values: got %v", c.text, c.most, err)
		}
	}
}
