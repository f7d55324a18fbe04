package data

import "fmt"

// PreparedSource is the source "prepared": another source with preparations done to it. Its test part gets those that are done to all
// parts, every other part gets all of them.
type PreparedSource struct {
	Of      Choice `json:"of"`      // what to open; optdigits
	Prepare Steps  `json:"prepare"` // what to do to it
	Seed    uint64 `json:"seed"`    // of the preparations; 0
}

var _ Source = PreparedSource{}

// NewPreparedSource returns optdigits as it is.
func NewPreparedSource() PreparedSource {
	return PreparedSource{Of: Choice{Named("optdigits")}, Prepare: Steps{}}
}

// Open opens the part and prepares it.
func (s PreparedSource) Open(part string) (Dataset, error) {
	set, err := s.Of.open("prepared", part)
	if err != nil {
		return nil, err
	}
	p := Begin(set, nil)
	if part == "test" {
		p, err = s.Prepare.All(p, s.Seed)
	} else if p, err = s.Prepare.Examples(p, s.Seed); err == nil {
		p, err = s.Prepare.Training(p, s.Seed)
	}
	if err != nil {
		return nil, fmt.Errorf("data: %s: %w", set.Info().Name, err)
	}
	return Relabelled(p.Set, p.Labels), nil
}

// Relabelled is ds with other labels, one for each example. It stays a Byted set.
func Relabelled(ds Dataset, labels []int32) Dataset {
	info := ds.Info()
	info.Checksum = derived(info.Checksum, fmt.Sprint("labels ", labels))
	r := relabelled{Dataset: ds, info: info, labels: labels}
	if b, ok := ds.(Byted); ok {
		return bytedRelabelled{r, b}
	}
	return r
}

type relabelled struct {
	Dataset
	info   Info
	labels []int32
}

func (r relabelled) Info() Info                             { return r.info }
func (r relabelled) Label(i int) int32                      { return r.labels[i] }
func (r relabelled) StableIndex(i int) int32                { return stableIndex(r.Dataset, i) }
func (r relabelled) View() (of Dataset, at func(i int) int) { return r.Dataset, same }
func (r relabelled) source() Dataset                        { return r.Dataset }

func (r relabelled) on(of Dataset) Dataset {
	r.Dataset = of
	return r
}

type bytedRelabelled struct {
	relabelled
	byted Byted
}

func (r bytedRelabelled) Bytes() []byte { return r.byted.Bytes() }

// longTailDigits is the name of longTailOptdigits.
const longTailDigits = "long-tail-optdigits"

// longTailOptdigits is the set of the long-tail claims.
func longTailOptdigits() PreparedSource {
	s := NewPreparedSource()
	s.Prepare = Steps{{NewLongTail()}}
	return s
}

func longTailInfo() Info {
	info := optdigitsInfo
	info.Name = longTailDigits
	info.Examples = optdigitsRows - optdigitsTrain // the test part is as it was
	for _, n := range NewLongTail().Counts(len(info.Classes)) {
		info.Examples += n
	}
	return info
}

func openLongTail(part string) (Dataset, error) {
	set, err := longTailOptdigits().Open(part)
	if err != nil {
		return nil, err
	}
	return titled(set, longTailDigits), nil
}
