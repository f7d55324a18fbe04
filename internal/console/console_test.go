package console_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/printable"
)

// terminal is a buffer that says it is as wide as it is told.
type terminal struct {
	bytes.Buffer
	columns int
}

func (t *terminal) Columns() int { return t.columns }

func widest(text string) (n int) {
	for _, line := range strings.Split(text, "\n") {
		n = max(n, console.Width(line))
	}
	return n
}

const table = "NAME\tKIND\tEXAMPLES\tLICENCE\n" +
	"optdigits\tdata\t1797\tCreative Commons Attribution 4.0, by the University of California\n" +
	"a-data-set-with-quite-a-long-name\tdata\t60000\tMIT\n" +
	"画像の集まり\tdata\t7\tnone\n"

// TestTableElsewhere: what is not a terminal gets what text/tabwriter makes, byte for byte.
func TestTableElsewhere(t *testing.T) {
	for _, text := range []string{table, "no tabs\n", "", "a\tb\t\nc\td\t\n", "head\n\n  x\t1\n  longer\t22\n\nend\n"} {
		var want, got bytes.Buffer
		w := tabwriter.NewWriter(&want, 0, 0, 2, ' ', 0)
		fmt.Fprint(w, text)
		_ = w.Flush()
		c := console.NewTable(&got, 2)
		fmt.Fprint(c, text)
		if err := c.Flush(); err != nil || got.String() != want.String() {
			t.Errorf("%q: got\n%s\nwant\n%s (%v)", text, &got, &want, err)
		}
	}
}

// TestTableFits: a terminal gets no line that is wider than it is, and every word that it has room for.
func TestTableFits(t *testing.T) {
	for columns := 20; columns <= 200; columns++ {
		out := &terminal{columns: columns}
		c := console.NewTable(out, 2, 1)
		fmt.Fprint(c, table)
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if n := widest(text); n > columns {
			t.Fatalf("%d columns: a line has %d\n%s", columns, n, text)
		}
		if columns < 60 {
			continue
		}
		for _, word := range []string{"NAME", "EXAMPLES", "60000", "Commons", "California", "optdigits"} {
			if !strings.Contains(text, word) {
				t.Errorf("%d columns: no %q in\n%s", columns, word, text)
			}
		}
		if strings.Contains(text, "KIND") == strings.Contains(text, "left out") && !strings.Contains(text, "(KIND: left out") {
			t.Errorf("%d columns: a column is gone and nothing says so\n%s", columns, text)
		}
	}
	out := &terminal{columns: 200}
	c := console.NewTable(out, 2)
	fmt.Fprint(c, "a\tb\nlonger\t2\n")
	_ = c.Flush()
	if want := "a       b\nlonger  2\n"; out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

// TestWrap keeps words whole, and what fits as it is.
func TestWrap(t *testing.T) {
	if got := console.Wrap("a  b", 10, ""); !slices.Equal(got, []string{"a  b"}) {
		t.Errorf("got %q", got)
	}
	got := console.Wrap("  one two /a/path/that/is/longer/than/the/line three", 12, "    ")
	want := []string{"  one two", "    /a/path/that/is/longer/than/the/line", "    three"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestColoured goes through flag, environment and terminal.
func TestColoured(t *testing.T) {
	for _, c := range []struct {
		mode     string
		terminal bool
		env      map[string]string
		want     bool
	}{
		{"auto", true, nil, true}, {"auto", false, nil, false}, {"always", false, map[string]string{"NO_COLOR": "1"}, true}, {"never", true, nil, false},
		{"auto", true, map[string]string{"NO_COLOR": "1"}, false}, {"auto", true, map[string]string{"NO_COLOR": ""}, true}, {"auto", true, map[string]string{"TERM": "dumb"}, false},
		{"auto", false, map[string]string{"CLICOLOR_FORCE": "1"}, true}, {"auto", false, map[string]string{"CLICOLOR_FORCE": "0"}, false},
		{"auto", false, map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, false}, {"auto", true, map[string]string{"CLICOLOR": "0"}, false},
		{"auto", false, map[string]string{"CLICOLOR_FORCE": "1", "TERM": "dumb"}, true},
	} {
		for _, name := range []string{"NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"} {
			t.Setenv(name, c.env[name])
		}
		t.Setenv("TERM", "xterm")
		if term, ok := c.env["TERM"]; ok {
			t.Setenv("TERM", term)
		}
		if got := console.Coloured(c.mode, c.terminal); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

// TestPalette: colours reach a writer that knows the marks, and no other; marks within text from files are escaped.
func TestPalette(t *testing.T) {
	var out bytes.Buffer
	door := printable.NewWriter(&out)
	if got := console.PaletteOf(door).Bad("x"); got != "x" {
		t.Errorf("without colours: %q", got)
	}
	door.Paint(console.Escapes())
	text := console.PaletteOf(door).Bad("worse")
	if console.Width(text) != 5 {
		t.Errorf("%q has width %d", text, console.Width(text))
	}
	table := console.NewTable(door, 2)
	fmt.Fprintf(table, "%s\tb\n%s\td\n\x1b[31m", text, printable.Line("\ufdd3x\ufdd0"))
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "\x1b[31mworse\x1b[0m          b\n\\ufdd3x\\ufdd0  d\n\\u001b[31m\n"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if w := io.Writer(&out); console.PaletteOf(w).Good("x") != "x" || console.Columns(w) != 0 {
		t.Error("a buffer has colours or a width")
	}
}

// TestEstimate: nothing is said of what was done before, while a graph is compiled, or too early.
func TestEstimate(t *testing.T) {
	var e console.Estimate
	at := time.Now()
	tell := func(after time.Duration, done int64) string {
		left, ok := e.Left(at.Add(after), done, 1000)
		if !ok {
			return "-"
		}
		return console.Span(left)
	}
	for i, c := range []struct {
		after time.Duration
		done  int64
		want  string
	}{
		{0, 100, "-"}, {time.Second, 105, "-"}, {2 * time.Second, 110, "-"}, {10 * time.Second, 200, "80 s"}, {20 * time.Second, 300, "70 s"},
		{21 * time.Second, 50, "-"}, {22 * time.Second, 51, "-"}, // another work has begun
	} {
		if got := tell(c.after, c.done); got != c.want {
			t.Errorf("%d: got %s, want %s", i, got, c.want)
		}
	}
	for d, want := range map[time.Duration]string{
		29 * time.Second: "29 s", 100 * time.Second: "2 min", 59 * time.Minute: "59 min", 80 * time.Minute: "1 h 20 min", 50 * time.Hour: "2 d 2 h",
	} {
		if got := console.Span(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

// TestBar: the line fits from 20 to 200 columns, says how far the work is, and goes when something else is written.
func TestBar(t *testing.T) {
	at := console.At{Done: 250, Total: 1000, Notes: []string{"loss 0.1234", "epoch 3", "5210 examples/s"}}
	type one struct {
		out    *terminal
		screen *console.Screen
		bar    *console.Bar
	}
	all := map[int]one{}
	for columns := 20; columns <= 200; columns += 4 {
		o := one{out: &terminal{columns: columns}}
		o.screen = console.NewScreen(o.out)
		o.bar = o.screen.NewBar("train", false)
		all[columns] = o
	}
	time.Sleep(320 * time.Millisecond) // what is over by then shows nothing
	for columns, o := range all {
		out, s, b := o.out, o.screen, o.bar
		b.Set(at)
		line, ended := strings.CutSuffix(out.String(), "\x1b[J\r")
		if !ended || strings.Contains(line, "\n") || console.Width(line) >= columns {
			t.Fatalf("%d columns: %q", columns, out)
		}
		for at, want := range map[int]string{20: "train", 40: " 25 %", 60: "250/1000", 64: "[=", 100: "loss 0.1234", 120: "examples/s"} {
			if columns >= at && !strings.Contains(line, want) {
				t.Errorf("%d columns: no %q in %q", columns, want, line)
			}
		}
		out.Reset()
		_, _ = io.WriteString(s, "a remark\n")
		b.Done()
		b.Set(at)
		if want := "\x1b[Ja remark\n"; out.String() != want {
			t.Errorf("got %q, want %q", out, want)
		}
	}
}

// TestFlow fills paragraphs and lists, and leaves what is set apart on purpose.
func TestFlow(t *testing.T) {
	text := "One sentence that goes\nover two lines.\n\nCodes:\n    0  ok, as it\n       should be\n  129  stopped\n\n  as it is\n"
	want := "One sentence\nthat goes over\ntwo lines.\n\nCodes:\n    0  ok, as\n       it\n       should\n       be\n  129  stopped\n\n  as it is"
	if got := console.Flow(text, 14); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestCommand breaks outside quotes, into one command.
func TestCommand(t *testing.T) {
	got := console.Command("  ballast evaluate m --data d --require 'acc>=0.98, ece<=0.02' --html a.html", 40)
	want := []string{`  ballast evaluate m --data d \`, `      --require 'acc>=0.98, ece<=0.02' \`, `      --html a.html`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, line := range got {
		if len(line) > 40 {
			t.Errorf("%q is too long", line)
		}
	}
}
