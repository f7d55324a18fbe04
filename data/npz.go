package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
)

// openNPZ opens an .npz file with examples and labels. Arrays are found by what they are called (see exampleNames and targetNames), those of
// a part by x_train and y_train and their like; x=NAME and y=NAME name others.
func openNPZ(name, part string) (Dataset, error) {
	path, query, _ := strings.Cut(name, "?")
	x, y, query, err := namedArrays(name, query)
	if err != nil {
		return nil, err
	}
	o, err := parseArrayOptions(query)
	if err != nil {
		return nil, err
	}
	o.name = "npz:" + path

	archive, err := npy.OpenArchive(path)
	if err != nil {
		return nil, err
	}
	names := archive.Names()
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if x == "" && y == "" {
		if x, y, o.part, err = arraysOfPart(path, names, part); err != nil {
			return nil, err
		}
	}
	if part == Val && o.part == "" {
		return nil, usage("data: %s has no part val; use train, test or all", o.name)
	}
	if x == "" || y == "" {
		return nil, &fault.Input{
			File: path, Err: fmt.Errorf("it holds %s, and which of them are examples and labels is not known", few(names)),
			Fix: "call them x and y, or name them: npz:FILE?x=NAME&y=NAME",
		}
	}
	return openPair(path+":"+x, path+":"+y, o)
}

// namedArrays takes x=NAME and y=NAME from the options.
func namedArrays(name, query string) (x, y, rest string, err error) {
	var others []string
	for _, option := range strings.Split(query, "&") {
		key, value, _ := strings.Cut(option, "=")
		switch {
		case key == "x" && value != "":
			x = value
		case key == "y" && value != "":
			y = value
		case option != "":
			others = append(others, option)
		}
	}
	if (x == "") != (y == "") {
		return "", "", "", usage("data: %s: name both arrays, ?x=NAME&y=NAME", name)
	}
	return x, y, strings.Join(others, "&"), nil
}

// arraysOfPart finds the arrays of a part, or of the whole.
func arraysOfPart(path string, names []string, part string) (x, y, found string, err error) {
	find := func(known []string, part string) string {
		for _, name := range known {
			for _, form := range []string{name + part, strings.TrimPrefix(part+"_", "_") + name} {
				form = strings.TrimPrefix(form, "_")
				if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, form) }); i >= 0 {
					return names[i]
				}
			}
		}
		return ""
	}
	of := func(part string) (x, y string) { return find(exampleNames, part), find(targetNames, part) }

	parts := map[string][2]string{}
	for _, p := range []string{"train", "test", "val"} {
		if x, y := of("_" + p); x != "" && y != "" {
			parts[p] = [2]string{x, y}
		}
	}
	if len(parts) > 0 {
		called := map[string]string{}
		for p := range parts {
			called[p] = p
		}
		chosen, err := chosenPart("npz:"+path, part, called)
		return parts[chosen][0], parts[chosen][1], chosen, err
	}
	x, y = of("")
	if x == "" && y == "" && len(names) == 0 {
		return "", "", "", &fault.Input{File: path, Err: errors.New("it holds no array"), Fix: "save examples and labels: numpy.savez(FILE, x=..., y=...)"}
	}
	return x, y, "", nil
}
