package main

// galleryONNX are ONNX graphs.
func galleryONNX() []hostile {
	return nil
}
