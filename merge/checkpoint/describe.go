package checkpoint

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Describe prints the plan for people.
func (p *Plan) Describe(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %d models into %s\n", p.Method.Name, len(p.Inputs), p.Out)
	for _, in := range p.Inputs {
		role := ""
		if in.Model == string(p.Recipe.BaseModel) {
			role = ", the base"
		}
		fmt.Fprintf(&b, "  %s: %s, %d tensors, %s%s\n", in.Model, in.Kind, in.Tensors, size(in.Bytes), role)
	}

	types := map[string]int{}
	for _, t := range p.tensors {
		types[t.typ]++
	}

	var list []string
	for _, t := range slices.Sorted(maps.Keys(types)) {
		list = append(list, fmt.Sprintf("%d %s", types[t], t))
	}

	fmt.Fprintf(&b, "tensors: %s, in %d files, %d bytes\n", strings.Join(list, ", "), len(p.Files), p.Write)
	fmt.Fprintf(&b, "memory:  %d bytes (%s)\n", p.Memory, size(p.Memory))
	fmt.Fprintf(&b, "disk:    %d bytes (%s)\n", p.Write, size(p.Write))
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}

	_, err := io.WriteString(w, b.String())
	return err
}

func size(bytes int64) string {
	switch {
	case bytes >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(bytes)/1e9)
	case bytes >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
}
