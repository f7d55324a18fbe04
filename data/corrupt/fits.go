package corrupt

// Fitting is a shift that not every image can have.
type Fitting interface {
	Shift
	// Fits says why images of a shape [height, width, channels] cannot be shifted so; nil = they can.
	Fits(shape []int) error
}

// Fits says why images of a shape [height, width, channels] cannot be shifted; nil = they can. Apply panics with the same error.
func Fits(s Shift, shape []int) error {
	if f, ok := s.(Fitting); ok {
		return f.Fits(shape)
	}
	return nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
