package checkpoint

// Gradient is a parameter whose value changes over the layers of a network: linear between its values, which are spread evenly from the first
// layer to the last.
type Gradient []float64

// At is the value at a position from 0, the first layer, to 1, the last.
func (g Gradient) At(position float64) float64 {
	if len(g) == 1 {
		return g[0]
	}
	at := position * float64(len(g)-1)
	low := min(int(at), len(g)-2)
	share := at - float64(low)
	return (1-share)*g[low] + share*g[low+1]
}

// LayerPosition is where a layer lies: layer/(layers-1), 1 where there is one layer alone. Tensors before and after the layers are at 0.
func LayerPosition(layer, layers int) float64 {
	if layers < 2 {
		return 1
	}
	return float64(layer) / float64(layers-1)
}
