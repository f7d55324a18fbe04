package soup

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/format/weights"
)

// Models are models that can be loaded one at a time, so that few need to be in memory.
type Models interface {
	Len() int
	Name(i int) string                  // for messages and traces
	Load(i int) (weights.Set, error)    // weights that the caller may change
	Release(i int, weights weights.Set) // the caller needs them no more; may do nothing
}

// InMemory are models that are in memory already. names may be nil.
func InMemory(models []weights.Set, names []string) Models { return inMemory{models, names} }

type inMemory struct {
	models []weights.Set
	names  []string
}

func (m inMemory) Len() int                        { return len(m.models) }
func (m inMemory) Name(i int) string               { return weights.NameOf(m.names, i) }
func (m inMemory) Load(i int) (weights.Set, error) { return m.models[i].Clone(), nil }
func (m inMemory) Release(int, weights.Set)        {}

// loader loads models and checks each against the first one loaded.
type loader struct {
	models    Models
	who       string
	reference weights.Set // names and shapes alone
	refName   string
}

func (l *loader) load(i int) (weights.Set, error) {
	w, err := l.models.Load(i)
	if err != nil {
		return nil, fmt.Errorf("merge: %s: %s: %w", l.who, l.models.Name(i), err)
	}
	if err := w.CheckShapes(l.models.Name(i)); err != nil {
		return nil, err
	}
	if l.reference == nil {
		l.refName = l.models.Name(i)
		for _, t := range w {
			l.reference = append(l.reference, weights.Tensor{Name: t.Name, Shape: t.Shape})
		}
	} else if err := l.sameLayout(w, l.models.Name(i)); err != nil {
		return nil, err
	}
	return w, w.Finite(l.models.Name(i))
}

// sameLayout compares names and shapes with those of the first model, whose values are gone.
func (l *loader) sameLayout(w weights.Set, name string) error {
	bare := make(weights.Set, len(w))
	for i, t := range w {
		bare[i] = weights.Tensor{Name: t.Name, Shape: t.Shape}
	}
	return l.reference.SameLayout(l.refName, bare, name)
}

// farApart warns of a model that points another way than a soup: models that do not share their first weights are as good as
// orthogonal, and their mean is not a usable model.
const farApart = 0.5

func warning(soup, model weights.Set, name string) string {
	na, nb := soup.Norm(), model.Norm()
	if na == 0 || nb == 0 {
		return ""
	}
	cosine := soup.Dot(model) / (na * nb)
	if cosine >= farApart || math.IsNaN(cosine) {
		return ""
	}
	return fmt.Sprintf("%s points another way than the models before it (cosine %.2f): does it share their first weights, and their head's?", name, cosine)
}
