package bundle

import (
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/zoo"
)

// A model that reads texts takes tokens [time], as they are, and its card says what it is.
func TestManifestOfTexts(t *testing.T) {
	text := NewManifest(zoo.Choice{Network: zoo.NewDecoder()}, []int{32}, nil)
	if err := text.Validate(); err != nil {
		t.Fatal(err)
	}
	if card := text.card(); !strings.Contains(card, "A language model of texts of 32 tokens, with a vocabulary of 256.") {
		t.Errorf("the card is %s", card)
	}
	for want, change := range map[string]func(m *Manifest){
		"input_shape is [4 8] for task language; want [time], the tokens of a text": func(m *Manifest) { m.InputShape = []int{4, 8} },
		"for task language; tokens are taken as they are, so leave it out":          func(m *Manifest) { m.Preprocess = Preprocess{Mean: []float64{0}, Std: []float64{1}} },
	} {
		m := text
		change(&m)
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
