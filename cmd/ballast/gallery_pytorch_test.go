package main

// galleryPyTorch are PyTorch checkpoints.
func galleryPyTorch() []hostile {
	return nil
}
