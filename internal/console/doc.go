// Package console fits text to the terminal that shows it: its width, its colours, tables and help texts that fit, and one
// live line that shows the progress of a task.
//
// Every function checks whether its writer is a terminal. Files, pipes and buffers do not have a width or colours: they get the
// whole text, unchanged.
package console
