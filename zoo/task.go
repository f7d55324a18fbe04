package zoo

// Task is what a network's answers are.
type Task string

// The tasks. n is the number of examples, k that of outputs.
const (
	Classify  Task = "classify"  // logits [n, k], one a class
	Regress   Task = "regress"   // values [n, k]
	Embed     Task = "embed"     // one vector an example [n, k], compared by angle or distance
	Segment   Task = "segment"   // logits [n, height, width, k], one a class and pixel
	Language  Task = "language"  // logits [n, time, k], one a token of the vocabulary
	Translate Task = "translate" // an image of another kind [n, height, width, k]
	Denoise   Task = "denoise"   // the noise, or the image without it [n, height, width, k]
)
