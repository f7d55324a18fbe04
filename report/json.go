package report

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/ballast-ml/ballast/internal/anynumber"
	"github.com/ballast-ml/ballast/metric"
)

// generic is what the JSON of a section holds where its suite has no form of its own.
type generic struct {
	Numbers  []metric.Number `json:"numbers"`
	Main     []Main          `json:"main,omitempty"`
	Says     string          `json:"says,omitempty"`
	Where    string          `json:"where,omitempty"`
	Heading  string          `json:"heading,omitempty"`
	Profile  *Profile        `json:"profile,omitempty"`
	Tables   []Table         `json:"tables,omitempty"`
	Charts   []Chart         `json:"charts,omitempty"`
	Notes    []string        `json:"notes,omitempty"`
	Examples []Example       `json:"examples,omitempty"`
}

// ofSection are the names of the members of generic.
var ofSection = []string{"numbers", "main", "says", "where", "heading", "profile", "tables", "charts", "notes", "examples"}

// generic is all of a section that a view shows.
func (s Section) generic() generic {
	return generic{
		Numbers: s.Numbers, Main: s.Main, Says: s.Says, Where: s.Where, Heading: s.Heading, Profile: s.Profile, Tables: s.Tables, Charts: s.Charts,
		Notes: s.Notes, Examples: s.Examples,
	}
}

// section is the section of a suite that all this is of.
func (g generic) section(suite string) Section {
	return Section{
		Suite: suite, Numbers: g.Numbers, Main: g.Main, Says: g.Says, Where: g.Where, Heading: g.Heading, Profile: g.Profile, Tables: g.Tables,
		Charts: g.Charts, Notes: g.Notes, Examples: g.Examples,
	}
}

// MarshalJSON writes the numbers, with the suite's own content if it has one, else with all that a view shows.
func (s Section) MarshalJSON() ([]byte, error) {
	if s.Content == nil {
		return anynumber.Marshal(s.generic())
	}
	content, err := anynumber.Marshal(s.Content)
	if err != nil {
		return nil, fmt.Errorf("report: suite %s: %w", s.Suite, err)
	}
	numbers, err := anynumber.Marshal(generic{Numbers: s.Numbers})
	if err != nil {
		return nil, fmt.Errorf("report: suite %s: %w", s.Suite, err)
	}
	return joined(content, numbers), nil
}

// MarshalJSON writes what is said of the whole audit, and then the sections by name.
func (r Report) MarshalJSON() ([]byte, error) {
	type head Report // without this method
	text, err := anynumber.Marshal(head(r))
	if err != nil {
		return nil, err
	}
	for _, s := range r.Sections {
		content, err := s.MarshalJSON()
		if err != nil {
			return nil, err
		}
		name, err := json.Marshal(s.Suite)
		if err != nil {
			return nil, err
		}
		text = joined(text, []byte("{"+string(name)+":"+string(content)+"}"))
	}
	if len(r.Sections) == 0 {
		return text, nil
	}
	verdict, err := json.Marshal(map[string]string{"verdict": r.Verdict()})
	if err != nil {
		return nil, err
	}
	return joined(text, verdict), nil
}

// joined is one object with the members of two.
func joined(a, b []byte) []byte {
	a, b = bytes.TrimSpace(a), bytes.TrimSpace(b)
	if string(a) == "{}" {
		return b
	}
	return append(append(a[:len(a)-1:len(a)-1], ','), b[1:]...)
}

// UnmarshalJSON reads a report, of this version or an older one. What it does not know is a section if it is an object, and ignored if
// it is anything else. Pictures come back where the suite's content is enough to draw them.
func (r *Report) UnmarshalJSON(text []byte) error {
	type head Report
	if err := json.Unmarshal(text, (*head)(r)); err != nil {
		return err
	}
	r.Sections = nil
	decoder := json.NewDecoder(bytes.NewReader(text)) // in the order of the text
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var content json.RawMessage
		if err := decoder.Decode(&content); err != nil {
			return err
		}
		if content[0] != '{' {
			continue
		}
		s, err := readSection(fmt.Sprint(name), content)
		if err != nil {
			return fmt.Errorf("report: suite %v: %w", name, err)
		}
		r.Sections = append(r.Sections, s)
	}
	return nil
}

// readSection reads what the JSON holds of a suite. Those that are older than sections have their form from then.
func readSection(suite string, text []byte) (Section, error) {
	switch suite {
	case "clean":
		return readContent[Clean](text)
	case "calibration":
		return readContent[Calibration](text)
	case "shift":
		return readContent[Shift](text)
	}
	var g generic
	if err := json.Unmarshal(text, &g); err != nil {
		return Section{}, err
	}
	s := g.section(suite)

	// Members of the suite's own are kept as they are.
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &members); err != nil {
		return Section{}, err
	}
	for _, known := range ofSection {
		delete(members, known)
	}
	if len(members) > 0 {
		s.Content = members
	}
	return s, nil
}

// readContent reads a suite's content.
func readContent[T interface{ Section() Section }](text []byte) (Section, error) {
	var content T
	if err := json.Unmarshal(text, &content); err != nil {
		return Section{}, err
	}
	return content.Section(), nil
}
