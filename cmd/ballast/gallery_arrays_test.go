package main

// galleryArrays are .npy and .npz files.
func galleryArrays() []hostile {
	return []hostile{
		{kind: "malformed", name: "npy-empty", files: file("a.npy", nil), run: []string{"inspect", "a.npy"}},
	}
}
