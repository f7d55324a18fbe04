package main

import "github.com/spf13/cobra"

// verbGroup is a group of verbs as the help text of the command lists them.
type verbGroup struct {
	id, title string
	verbs     []string // in this order
}

// verbGroups hold every verb once.
var verbGroups = []verbGroup{
	{"measure", "Measure a model", []string{"demo", "evaluate", "run", "inspect"}},
	{"mend", "Mend a model", []string{"calibrate", "adapt", "merge", "soup", "signature"}},
	{"train", "Train and compare", []string{"train", "compare", "reproduce", "papers", "inpaint"}},
	{"files", "Files and this machine", []string{"data", "convert", "verify", "engine", "bench", "clean", "completion", "version", "help"}},
}

// group puts each verb into its group.
func group(root *cobra.Command) {
	of := map[string]string{}
	for _, g := range verbGroups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, name := range g.verbs {
			of[name] = g.id
		}
	}
	for _, c := range root.Commands() {
		c.GroupID = of[c.Name()]
	}
	root.SetHelpCommandGroupID(of["help"])
	root.SetCompletionCommandGroupID(of["completion"])
}
