package main

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/internal/console"
)

// everyVerb calls f with each command of the tree.
func everyVerb(f func(c *cobra.Command)) *app {
	a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	root := newRoot(a)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		c.InitDefaultVersionFlag()
		f(c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return a
}

// TestHelpFits: the help of every verb has no line of more than 80 columns, says how to call it, names each flag that it takes and none
// that it refuses.
func TestHelpFits(t *testing.T) {
	n := 0
	everyVerb(func(c *cobra.Command) {
		n++
		for columns := 60; columns <= 120; columns += 20 {
			out := &narrow{columns: columns}
			a := &app{out: out}
			text := a.helpOf(c, true)
			for _, line := range strings.Split(text, "\n") {
				code := strings.HasPrefix(line, "    ballast completion") // which shells have their own way to break
				if w := console.Width(line); w > columns && (columns >= 80 || !code && strings.Contains(strings.TrimRight(strings.TrimSpace(line), ` \`), " ")) {
					t.Errorf("%s, %d columns: %d in %q", c.CommandPath(), columns, w, line)
				}
			}
			if columns == 80 && !strings.Contains(text, "Usage:\n  ballast") {
				t.Errorf("%s: no usage in\n%s", c.CommandPath(), text)
			}
			for _, f := range shownFlags(c, c.LocalFlags(), c.InheritedFlags()) {
				if !strings.Contains(text, "--"+f.Name) {
					t.Errorf("%s: no --%s in the help", c.CommandPath(), f.Name)
				}
			}
			for _, name := range unused[verbOf(c)] {
				if c.HasParent() && strings.Contains(text, "  --"+name+" ") {
					t.Errorf("%s: help offers --%s, which is refused", c.CommandPath(), name)
				}
			}
		}
	})
	if n < 30 {
		t.Errorf("%d verbs", n)
	}
}

// narrow is a buffer that is as wide as a terminal.
type narrow struct {
	bytes.Buffer
	columns int
}

func (n *narrow) Columns() int { return n.columns }

// TestGroups: each verb stands in one group of the help.
func TestGroups(t *testing.T) {
	in := map[string]int{}
	for _, g := range verbGroups {
		for _, name := range g.verbs {
			in[name]++
		}
	}
	a := everyVerb(func(c *cobra.Command) {
		if c.HasParent() && !c.Parent().HasParent() && in[c.Name()] != 1 {
			t.Errorf("%s is in %d groups", c.Name(), in[c.Name()])
		}
		delete(in, c.Name())
	})
	for name := range in {
		t.Errorf("a group has %s, which is no verb", name)
	}
	text := a.helpOf(newRoot(a), true)
	at := -1
	for _, g := range verbGroups {
		next := strings.Index(text, g.title+":")
		if next <= at {
			t.Errorf("%q is not behind the group before it", g.title)
		}
		at = next
	}
}

// TestExamplesAreCommands: a shell reads each example of each verb as the words that the verb gets, also when it is broken into lines.
func TestExamplesAreCommands(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh on this system, whose reading of the examples is what is tested")
	}
	words := func(command string) string {
		out, err := exec.Command(shell, "-c", "set -f; printf '%s\\n' "+command).Output()
		if err != nil {
			t.Errorf("%s: %v", command, err)
		}
		return string(out)
	}
	var whole, broken []string
	everyVerb(func(c *cobra.Command) {
		if c.Example == "" {
			return
		}
		for _, line := range strings.Split(c.Example, "\n") {
			first, _, _ := strings.Cut(line, " | ")
			first, _, _ = strings.Cut(first, " && ")
			first, _, _ = strings.Cut(first, " > ")
			if !strings.HasPrefix(strings.TrimSpace(first), "ballast ") {
				continue
			}
			whole = append(whole, first)
			broken = append(broken, strings.Join(console.Command(first, 60), "\n"))
		}
	})
	if len(whole) < 40 {
		t.Errorf("%d examples", len(whole))
	}
	if a, b := words(strings.Join(whole, " ")), words(strings.Join(broken, " ")); a != b {
		t.Errorf("as lines of 60 columns the examples are\n%s\nwant\n%s", b, a)
	}
}

// TestVersionFlag: --version is one line.
func TestVersionFlag(t *testing.T) {
	var out bytes.Buffer
	root := newRoot(&app{out: &out, err: &out})
	root.SetArgs([]string{"--version"})
	if err := root.Execute(); err != nil || !strings.HasPrefix(out.String(), "ballast ") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("got %q, %v", &out, err)
	}
}

// TestFlagFaults: a wrong flag says what to write.
func TestFlagFaults(t *testing.T) {
	for args, want := range map[string]string{
		"train --dta mnist": "did you mean --data?", "train --lr 0.1": "write optimizer.lr=VALUE", "train --batch-size 3": "write batch_size=VALUE", "evaluate m --bins x": `--bins: "x" is not what it takes; give a whole number`,
		"soup m --lr x": "give a number", "train --out": "--out has no value", "evaluate m --color purple": "--color is purple; use auto, always, never", "merge a --quite": "did you mean --quiet?",
		"evaluate m --nothing-of-this-kind": "ballast evaluate --help", "train --seed -1": "a whole number from 0 on", "version --enigne go": "unknown flag: --enigne; see: ballast version --help",
	} {
		var out bytes.Buffer
		root := newRoot(&app{out: &out, err: &out})
		root.SetArgs(strings.Split(args, " "))
		if err := execute(t.Context(), root); err == nil || codeOf(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}

// completions are what a shell is offered.
func completions(t *testing.T, args ...string) []string {
	t.Helper()
	var out bytes.Buffer
	root := newRoot(&app{out: &out, err: &bytes.Buffer{}})
	root.SetArgs(append([]string{"__complete"}, args...))
	if err := root.Execute(); err != nil {
		t.Errorf("%v: %v", args, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, line := range lines {
		lines[i], _, _ = strings.Cut(line, "\t")
	}
	return lines[:max(len(lines)-1, 0)] // the last is the directive
}

// TestCompletion: data sets, models, methods, suites, metrics, keys, values, engines and papers are offered.
func TestCompletion(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("BALLAST_HOME", t.TempDir())
	for _, c := range []struct{ args, want, not string }{
		{"train --data |m", "mnist", "optdigits"}, {"data get |fas", "fashion-mnist", "mnist"}, {"data get |digit", "digit-nets", ""}, {"evaluate |digit-", "digit-nets", "minilm-l6"},
		{"merge --method |sl", "slerp", "linear"}, {"soup m --method |gr", "greedy", "uniform"}, {"evaluate m --suite |", "calibration", ""}, {"evaluate m --suite |clean,sh", "clean,shift", "clean,clean"},
		{"evaluate m --require |shift.contrast.3", "shift.contrast.3.acc>=", "acc>="}, {"evaluate m --require |acc>=0.9,ec", "acc>=0.9,ece<=", ""}, {"compare --metric |acc", "accuracy", "nll"},
		{"train |netw", "network=", "norm="}, {"train |network=mo", "", "network=cnn"}, {"train |network=ml", "network=mlp", "network=cnn"}, {"train |network.hid", "network.hidden=", ""}, {"train |netw", "network.", "network.hidden="}, {"train network=mlp |network.", "network.hidden=", "network.filters="},
		{"train |optimizer.", "optimizer.lr=", "epochs="}, {"train |drop_last=", "drop_last=true", ""}, {"train |schedule.name=co", "schedule.name=cosine", "schedule.name=step"},
		{"compare |norm=batch,gh", "norm=batch,ghost", "ghost"}, {"train --engine |x", "xla:cpu", "go"}, {"reproduce |grok", "grokking", ""}, {"papers |ghost", "ghost-batch-norm", ""},
		{"convert m --to |s", "sharded", "gguf"}, {"convert m --type |Q4", "Q4_K", "F16"}, {"data show |opt", "optdigits", ""}, {"data show mnist --shift |con", "contrast:", "brightness:"},
		{"data show mnist --shift |contrast:", "contrast:5", ""}, {"bench |no", "norm", "train"}, {"inpaint |generator.n", "generator.norm=", ""}, {"evaluate m --set |shots", "shots.few=", "pairs.most="},
		{"signature extract --norms |re", "replace", "patch"}, {"--color |", "never", ""}, {"engine install --cuda=|", "", ""},
	} {
		before, word, _ := strings.Cut(c.args, "|")
		got := completions(t, append(strings.Fields(before), word)...)
		if word != "" || c.want != "" {
			got = slices.DeleteFunc(got, func(s string) bool { return !strings.HasPrefix(s, word) }) // as the shell does
		}
		if c.want != "" && !slices.Contains(got, c.want) {
			t.Errorf("%s: no %q in %q", c.args, c.want, got)
		}
		if c.not != "" && slices.Contains(got, c.not) {
			t.Errorf("%s: %q in %q", c.args, c.not, got)
		}
	}
}

// TestEveryFlagCompletes: a flag that takes a text completes it, or says that any text will do.
func TestEveryFlagCompletes(t *testing.T) {
	free := []string{"signature extract name", "evaluate ignore-label", "inspect tensors", "bench only", "data get mirror"}
	have := ofFlags()
	seen := map[string]bool{}
	everyVerb(func(c *cobra.Command) {
		path := verbOf(c)
		if path == "" {
			seen[" engine"] = true // which the command itself refuses, without a verb
		}
		for _, f := range shownFlags(c, c.LocalNonPersistentFlags(), c.PersistentFlags()) {
			key := path + " " + f.Name
			seen[key] = true
			if text := strings.HasPrefix(f.Value.Type(), "string"); text && have[key] == nil && !slices.Contains(free, key) {
				t.Errorf("--%s of ballast %s is not completed", f.Name, path)
			}
		}
	})
	for key := range have {
		if !seen[key] {
			t.Errorf("%s is completed and is no flag", key)
		}
	}
	for path := range ofArgs() {
		if c, _, err := newRoot(&app{out: &bytes.Buffer{}, err: &bytes.Buffer{}}).Find(strings.Fields(path)); err != nil || verbOf(c) != path {
			t.Errorf("%s is completed and is no verb (%v)", path, err)
		}
	}
}
