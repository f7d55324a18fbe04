package data_test

import (
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
)

func TestUnseen(t *testing.T) {
	for _, half := range []string{"first", "second"} {
		total := 0
		for _, part := range []string{"train", "test"} {
			set, err := data.Unseen{Of: data.NewUnseen().Of, Train: half}.Open(part)
			if err != nil {
				t.Fatal(err)
			}
			total += set.Len()
			if set.Info().Part != part || set.Info().Examples != set.Len() {
				t.Errorf("part %s says it is %s with %d of %d examples", part, set.Info().Part, set.Info().Examples, set.Len())
			}
			for i := range set.Len() {
				if low := set.Label(i) < 5; low != ((half == "first") == (part == "train")) {
					t.Fatalf("%s: part %s has a %d", half, part, set.Label(i))
				}
			}
		}
		if total != 1797 {
			t.Errorf("%s: both parts have %d examples; want 1797", half, total)
		}
	}
	if _, err := (data.Unseen{Of: data.NewUnseen().Of, Train: "third"}).Open("train"); err == nil || !strings.Contains(err.Error(), `train is "third"; use first or second`) {
		t.Errorf("a third half: %v", err)
	}
}
