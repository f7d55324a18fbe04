package own_test

import (
	"os"
	"strings"
	"testing"
)

// TestTheProgramOfTheDocs: docs/norms.md shows the example, which runs, and it has under 40 lines.
func TestTheProgramOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/norms.md")
	if err != nil {
		t.Fatal(err)
	}
	code, output, _ := strings.Cut(string(text), "\t// Output:\n")
	program := strings.NewReplacer("package own_test", "package main", "func Example()", "func main()").Replace(code) + "}\n"
	if !strings.Contains(string(page), "```go\n"+program+"```\n") {
		t.Error("docs/norms.md has another program than example_test.go")
	}
	printed := strings.ReplaceAll(strings.TrimSuffix(output, "}\n"), "\t// ", "")
	if !strings.Contains(string(page), "```text\n"+printed+"```\n") {
		t.Errorf("docs/norms.md does not say that it prints\n%s", printed)
	}
	lines := 0
	for _, line := range strings.Split(program, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	if lines >= 40 {
		t.Errorf("the program has %d lines", lines)
	}
}
