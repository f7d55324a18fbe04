package data

import "fmt"

// Note is something that a set of a user's own was taken for, or that was left out of it.
type Note struct {
	What string `json:"what"` // format, layout, pictures, classes, labels, skipped, damaged, sample
	Is   string `json:"is"`
}

// Noted is a set that says what it was taken for.
type Noted interface {
	Dataset
	Notes() []Note
}

// NotesOf are the notes of a set, through the sets it was made of, those of the first first.
func NotesOf(ds Dataset) []Note {
	var notes []Note
	if v, ok := ds.(Viewed); ok {
		of, _ := v.View()
		notes = NotesOf(of)
	}
	if n, ok := ds.(Noted); ok {
		notes = append(notes, n.Notes()...)
	}
	return notes
}

// Notes are what the set was taken for.
func (p *pictures) Notes() []Note { return p.notes }

func (p *pictures) note(what, format string, args ...any) {
	p.notes = append(p.notes, Note{what, fmt.Sprintf(format, args...)})
}

// noteClasses says how many classes there are, and the first few.
func (p *pictures) noteClasses() { p.note("classes", "%d: %s", len(p.classes), few(p.classes)) }
