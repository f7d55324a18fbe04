package lab

// Sayings are the names of other programs, for the test of what they lead to.
func Sayings() map[string]string { return sayings }
