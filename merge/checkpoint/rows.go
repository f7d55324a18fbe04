package checkpoint

import (
	"slices"
	"sync"

	"github.com/ballast-ml/ballast/internal/vector"
)

// rowMap reads rows of a tensor in the order of the output. What a model lacks is the base's row, else that of its only owner, else the mean
// of its owners', unless the recipe says where it comes from; rows between tokens stay where they are, or are zero; those after them are the mean
// of the model's rows.
type rowMap struct {
	v       *vocabulary
	plain   *reader
	rows    []int
	have    int // rows of the model
	base    bool
	columns int
	peers   []*rowMap

	averaged sync.Once
	average  []float32
	failed   error
}

// at is the row of the model, -1 where it has none.
func (m *rowMap) at(row int) int {
	if r := m.rows[row]; r < m.have {
		return r
	}
	return -1
}

func (m *rowMap) read(dst []float32, at int, raw []byte) error {
	for len(dst) > 0 {
		row, column := at/m.columns, at%m.columns
		n := min(len(dst), m.columns-column)
		if err := m.readRow(dst[:n], row, column, raw); err != nil {
			return err
		}
		dst, at = dst[n:], at+n
	}
	return nil
}

// readRow reads a stretch of one row.
func (m *rowMap) readRow(dst []float32, row, column int, raw []byte) error {
	own := m.at(row)
	f, chosen := m.v.chosen[row]
	switch {
	case row >= m.v.tokens:
		m.averaged.Do(func() { m.average, m.failed = m.mean() })
		if m.failed == nil {
			copy(dst, m.average[column:])
		}
		return m.failed
	case chosen && (f.force || own < 0):
		if f.in == nil {
			clear(dst)
			return nil
		}
		i := slices.IndexFunc(m.peers, func(peer *rowMap) bool { return peer.plain.in == f.in })
		return m.peers[i].plain.read(dst, f.row*m.columns+column, raw)
	case own >= 0:
		return m.plain.read(dst, own*m.columns+column, raw)
	}
	return m.fill(dst, row, column, raw)
}

// mean is the mean of the rows that tokens have.
func (m *rowMap) mean() ([]float32, error) {
	sums, one := make([]float64, m.columns), make([]float32, m.columns)
	raw := make([]byte, 8*m.columns)
	for row := range m.v.tokens {
		if err := m.readRow(one, row, 0, raw); err != nil {
			return nil, err
		}
		for i, v := range one {
			sums[i] += float64(v)
		}
	}
	for i, v := range sums {
		one[i] = float32(v / float64(m.v.tokens))
	}
	return one, nil
}

// fill is a row that the model lacks.
func (m *rowMap) fill(dst []float32, row, column int, raw []byte) error {
	var owners []*rowMap
	for _, peer := range m.peers {
		if peer.at(row) < 0 {
			continue
		}
		if peer.base {
			return peer.plain.read(dst, peer.at(row)*m.columns+column, raw)
		}
		owners = append(owners, peer)
	}

	clear(dst)
	if len(owners) == 0 {
		if !m.v.named[row] && row < m.have && !slices.Contains(m.rows, row) { // between tokens: as in the model
			return m.plain.read(dst, row*m.columns+column, raw)
		}
		return nil
	}

	one := make([]float32, len(dst))
	for _, o := range owners {
		if err := o.plain.read(one, o.at(row)*m.columns+column, raw); err != nil {
			return err
		}
		vector.AddScaled(dst, 1, one)
	}

	vector.ScaleTo(dst, 1/float32(len(owners)), dst)
	return nil
}
