// Package console fits text to the terminal that shows it: how wide it is, whether it wants colour, tables and help texts that fit, and one
// live line that says how far a piece of work has come.
//
// Every function asks the writer it is given what stands behind it. A file, a pipe and a buffer have no width and no colour: they get the
// whole text, as it is.
package console
