package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ballast-ml/ballast/internal/console"
)

// Widths of help texts: where no terminal is asked for it, and the most, beyond which lines are hard to read.
const usualHelp, mostHelp = 80, 100

// helpWidth is the width of help texts on the stream of results.
func (a *app) helpWidth() int {
	if n := console.Columns(a.out); n > 0 {
		return min(n, mostHelp)
	}
	return usualHelp
}

// setHelp makes the command's own help texts, which fit the terminal and leave out flags that a verb refuses.
func (a *app) setHelp(root *cobra.Command) {
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { fmt.Fprint(a.out, a.helpOf(c, true)) })
	root.SetUsageFunc(func(c *cobra.Command) error {
		_, err := fmt.Fprint(a.out, a.helpOf(c, false))
		return err
	})
}

// helpOf is the help text of a verb, or the part of it that says how to call it.
func (a *app) helpOf(c *cobra.Command, whole bool) string {
	h := help{columns: a.helpWidth(), colours: console.PaletteOf(a.out)}
	if whole {
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		h.text = console.Flow(strings.TrimSpace(text), h.columns) + "\n"
	}
	h.usage(c)
	if c.Example != "" {
		h.head("Examples")
		for _, line := range strings.Split(c.Example, "\n") {
			h.lines(console.Command(line, h.columns))
		}
	}
	h.verbs(c)
	h.flags("Flags", shownFlags(c, c.LocalNonPersistentFlags(), c.PersistentFlags()))
	if c.HasParent() {
		h.flags("Flags of every verb", shownFlags(c, c.InheritedFlags()))
	}
	if c.HasAvailableSubCommands() {
		h.text += fmt.Sprintf("\n\"%s VERB --help\" says more of a verb.\n", c.CommandPath())
	}
	return h.text
}

// help puts a help text together.
type help struct {
	text    string
	columns int
	colours console.Palette
}

func (h *help) head(title string) { h.text += "\n" + h.colours.Strong(title+":") + "\n" }

func (h *help) lines(lines []string) { h.text += strings.Join(lines, "\n") + "\n" }

// usage says how the verb is called.
func (h *help) usage(c *cobra.Command) {
	h.head("Usage")
	if c.Runnable() && (!c.HasAvailableSubCommands() || c.HasLocalFlags() || c.Args != nil && c.Parent() != nil) {
		h.lines(console.Wrap("  "+c.UseLine(), h.columns, "      "))
	}
	if c.HasAvailableSubCommands() {
		h.lines([]string{"  " + c.CommandPath() + " VERB [flags]"})
	}
}

// verbs lists what stands below a command, by groups where it has some.
func (h *help) verbs(c *cobra.Command) {
	var all []*cobra.Command
	wide := 0
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			all = append(all, sub)
			wide = max(wide, len(sub.Name()))
		}
	}
	list := func(of []*cobra.Command) {
		for _, sub := range of {
			h.lines(hanging(fmt.Sprintf("  %-*s  ", wide, sub.Name()), sub.Short, h.columns))
		}
	}
	if len(all) == 0 {
		return
	}
	if len(c.Groups()) == 0 {
		h.head("Verbs")
		list(all)
		return
	}
	order := map[string]int{}
	for _, g := range verbGroups {
		for i, name := range g.verbs {
			order[name] = i
		}
	}
	slices.SortStableFunc(all, func(x, y *cobra.Command) int { return order[x.Name()] - order[y.Name()] })
	for _, g := range c.Groups() {
		h.head(g.Title)
		var of []*cobra.Command
		for _, sub := range all {
			if sub.GroupID == g.ID {
				of = append(of, sub)
			}
		}
		list(of)
	}
}

// hanging is a name and a text that is filled behind it.
func hanging(name, text string, columns int) []string {
	lines := console.Wrap(text, columns-console.Width(name), "")
	for i := range lines {
		if i > 0 {
			name = strings.Repeat(" ", console.Width(name))
		}
		lines[i] = name + lines[i]
	}
	return lines
}

// shownFlags are the flags that a verb takes.
func shownFlags(c *cobra.Command, sets ...*pflag.FlagSet) (list []*pflag.Flag) {
	path := verbOf(c)
	for _, set := range sets {
		set.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !slices.Contains(unused[path], f.Name) && !slices.Contains(list, f) {
				list = append(list, f)
			}
		})
	}
	slices.SortFunc(list, func(x, y *pflag.Flag) int { return strings.Compare(x.Name, y.Name) })
	return list
}

// mostFlag is the widest name of a flag that its text stands beside; that of a wider one stands below it.
const mostFlag = 26

// flags lists flags with what they do and their defaults.
func (h *help) flags(title string, list []*pflag.Flag) {
	if len(list) == 0 {
		return
	}
	h.head(title)
	names, texts, wide := make([]string, len(list)), make([]string, len(list)), 0
	for i, f := range list {
		names[i], texts[i] = flagText(f)
		if n := len(names[i]); n <= mostFlag {
			wide = max(wide, n)
		}
	}
	for i, name := range names {
		if len(name) > wide {
			h.lines([]string{name})
			name = ""
		}
		h.lines(hanging(fmt.Sprintf("%-*s   ", wide, name), texts[i], h.columns))
	}
}

// kinds are what help calls the kinds of values of flags.
var kinds = map[string]string{
	"string": "text", "strings": "texts", "stringArray": "text", "int": "number", "int64": "number", "uint64": "number", "uint": "number", "float": "number",
	"float64": "number", "float64Slice": "numbers", "floats": "numbers", "int64Slice": "numbers", "ints": "numbers",
}

// flagText is the name of a flag with the kind of its value, and what it does.
func flagText(f *pflag.Flag) (name, text string) {
	kind, text := pflag.UnquoteUsage(f)
	name = "      --" + f.Name
	if f.Shorthand != "" {
		name = "  -" + f.Shorthand + ", --" + f.Name
	}
	if known, ok := kinds[kind]; ok {
		kind = known
	}
	switch {
	case f.NoOptDefVal != "" && kind != "":
		name += "[=" + kind + "]"
	case kind != "":
		name += " " + kind
	}
	zero := []string{"", "0", "false", "[]"}
	if !slices.Contains(zero, f.DefValue) && !strings.Contains(text, "(default") {
		text += fmt.Sprintf(" (default %s)", f.DefValue)
	}
	return name, text
}
