package bundle

import "errors"

// Save writes the bundle as a folder, whole or not at all; an older bundle at path is replaced only when the new one is complete.
func (b *Bundle) Save(path string) error { return errors.New("bundle: not built yet") }
