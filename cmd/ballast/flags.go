package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/lab"
)

// unused are the flags of the whole command that a verb has no use for, by its path. They are refused there: a seed that changes nothing
// is a mistake of whoever gives it. --memory and --quiet hold everywhere.
var unused = map[string][]string{
	"":                  {"engine", "seed", "json"},
	"merge":             {"engine"},
	"merge diff":        {"engine", "seed"},
	"verify":            {"engine", "seed"},
	"signature":         {"engine", "seed", "json"},
	"signature extract": {"engine", "seed"},
	"signature remove":  {"engine", "seed"},
	"signature inspect": {"engine", "seed"},
	"inspect":           {"engine", "seed"},
	"run":               {"seed"},
	"papers":            {"engine", "seed"},
	"data":              {"engine", "seed", "json"},
	"data list":         {"engine", "seed"},
	"data get":          {"engine", "seed"},
	"data show":         {"engine"},
	"data corrupt":      {"engine"},
	"engine":            {"seed"},
	"engine install":    {"engine", "seed"},
	"clean":             {"engine", "seed"},
	"bench":             {"seed"},
	"version":           {"engine", "seed"},
	"help":              {"engine", "seed", "json"},
	"completion":        {"engine", "seed", "json"},
}

// checkFlags refuses what no verb can make sense of: a text that is blank, as of an empty variable of a shell, numbers that are not finite,
// and flags that the verb has no use for.
func checkFlags(cmd *cobra.Command) (err error) {
	path := verbOf(cmd)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		text := f.Value.String()
		switch {
		case err != nil:
		case blank(f.Value):
			err = &fault.Usage{Err: fmt.Errorf("--%s is blank; give it a value, or leave it out", f.Name)}
		case strings.HasPrefix(f.Value.Type(), "float64") && (strings.Contains(text, "NaN") || strings.Contains(text, "Inf")):
			err = &fault.Usage{Err: fmt.Errorf("--%s is %s; use finite numbers", f.Name, strings.Trim(text, "[]"))}
		case slices.Contains(unused[path], f.Name):
			err = &fault.Usage{Err: fmt.Errorf("--%s has no effect in ballast %s; leave it out", f.Name, path)}
		}
	})
	return err
}

// blank reports whether a text, or one of several, is nothing but blanks.
func blank(v pflag.Value) bool {
	switch v.Type() {
	case "string":
		return strings.TrimSpace(v.String()) == ""
	case "stringSlice", "stringArray":
		if list, ok := v.(pflag.SliceValue); ok {
			given := list.GetSlice()
			return len(given) == 0 || slices.ContainsFunc(given, func(text string) bool { return strings.TrimSpace(text) == "" })
		}
	}
	return false
}

// verbOf is the path of a verb without the name of the command; that of all shells' completions is "completion".
func verbOf(cmd *cobra.Command) string {
	path := strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()))
	if strings.HasPrefix(path, "completion ") {
		return "completion"
	}
	return path
}

// idle refuses flags that were given and would be ignored: why says beside what, or without what.
func idle(cmd *cobra.Command, why string, names ...string) error {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return &fault.Usage{Err: fmt.Errorf("--%s has no effect %s; leave it out", name, why)}
		}
	}
	return nil
}

// others are the flags of a verb, its own and those of the whole command that it has a use for, but for some. --memory and --quiet are not
// among them: they hold whatever a verb does.
func others(cmd *cobra.Command, but ...string) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(but, f.Name) && f.Name != "memory" && f.Name != "quiet" && f.Name != "help" {
			names = append(names, f.Name)
		}
	})
	return names
}

// seedTwice refuses --seed beside an override of the seed.
func seedTwice(cmd *cobra.Command, overrides []string) error {
	if !cmd.Flags().Changed("seed") {
		return nil
	}
	for _, o := range overrides {
		if key, _, _ := strings.Cut(strings.TrimLeft(o, "+~"), "="); key == "seed" {
			return &fault.Usage{Err: fmt.Errorf("give --seed or %s, not both", o)}
		}
	}
	return nil
}

// flagFault is an error of a flag in words that say what to write instead.
func flagFault(c *cobra.Command, err error) error {
	var (
		missing *pflag.NotExistError
		invalid *pflag.InvalidValueError
		bare    *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &missing) && missing.GetSpecifiedShortnames() == "":
		return unknownFlag(c, missing.GetSpecifiedName())
	case errors.As(err, &invalid):
		wanted := map[string]string{"bool": "true or false", "int": "a whole number", "int64": "a whole number", "uint64": "a whole number from 0 on"}[invalid.GetFlag().Value.Type()]
		if wanted == "" {
			wanted = "a number"
		}
		return usagef("--%s: %q is not what it takes; give %s", invalid.GetFlag().Name, strict.Short(invalid.GetValue()), wanted)
	case errors.As(err, &bare):
		return usagef("--%s has no value; write --%s VALUE", bare.GetFlag().Name, bare.GetFlag().Name)
	}
	return &fault.Usage{Err: err}
}

// unknownFlag says what was meant by a flag that a verb does not have: one that is near, or a setting, which is no flag.
func unknownFlag(c *cobra.Command, name string) error {
	var known []string
	for _, f := range shownFlags(c, c.LocalFlags(), c.InheritedFlags()) {
		known = append(known, f.Name)
	}
	if c.ValidArgsFunction != nil && slices.Contains([]string{"train", "compare"}, verbOf(c)) {
		if key, ok := lab.Setting(strings.ReplaceAll(name, "-", "_")); ok {
			return usagef("unknown flag: --%s; it is a setting of the recipe, so write %s=VALUE", strict.Short(name), key)
		}
	}
	if near, ok := strict.Nearest(name, known); ok {
		return usagef("unknown flag: --%s; did you mean --%s?", strict.Short(name), near)
	}
	return usagef("unknown flag: --%s; see: %s --help", strict.Short(name), c.CommandPath())
}

// knownData refuses the name of a data set or a part that there is none of, before anything is opened. An empty name is none.
func knownData(name, part string) error {
	if name == "" {
		return nil
	}
	return data.Check(name, part)
}

// usagef is an error of the command used wrongly.
func usagef(format string, args ...any) error { return &fault.Usage{Err: fmt.Errorf(format, args...)} }
