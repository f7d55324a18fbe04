package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// mostFiles is how many files a pattern may name.
const mostFiles = 100_000

// filesOf are the files that a name stands for: a file, a folder with such files in it or in its sub-folder data, or a pattern with braces
// ({000..009}, {a,b}) and the signs of a shell (*, [a-z]). Those of braces must be there, those of signs are the ones that are.
func filesOf(name, form string) ([]string, error) {
	if stat, err := os.Stat(name); err == nil && stat.IsDir() {
		files := filesWith(name, form)
		if len(files) == 0 {
			files = filesWith(filepath.Join(name, "data"), form)
		}
		if len(files) == 0 {
			return nil, &fault.Input{File: name, Err: errors.New("no file of the kind in it"), Fix: "name the files, such as " + filepath.Join(name, "*."+map[string]string{formShards: "tar", formParquet: "parquet"}[form])}
		}
		return files, nil
	} else if err == nil {
		return []string{name}, nil
	}

	expanded, err := braces(name, nil)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, one := range expanded {
		if !strings.ContainsAny(one, "*[") {
			if _, err := os.Stat(one); err != nil {
				return nil, &fault.Input{File: one, Err: untrusted.Reason(err), Fix: "correct the name, or the numbers in its braces"}
			}
			files = append(files, one)
			continue
		}
		found, err := filepath.Glob(one)
		if err != nil {
			return nil, usage("data: the pattern %q is malformed: %v", one, err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, &fault.Input{File: name, Err: fs.ErrNotExist, Fix: "correct the pattern: no file fits it"}
	}
	if len(files) > mostFiles {
		return nil, usage("data: %q names %d files; at most %d are read", name, len(files), mostFiles)
	}
	return files, nil
}

// braces appends what a text with {a,b} and {00..12} stands for.
func braces(text string, to []string) ([]string, error) {
	head, rest, ok := strings.Cut(text, "{")
	body, tail, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		return append(to, text), nil
	}
	words := strings.Split(body, ",")
	if from, last, isRange := strings.Cut(body, ".."); isRange {
		first, errFirst := strconv.Atoi(from)
		end, errLast := strconv.Atoi(last)
		if errFirst != nil || errLast != nil || first < 0 || end < first {
			return nil, usage("data: {%s} is not a range; write {000..009}", body)
		}
		if end-first >= mostFiles {
			return nil, usage("data: {%s} names %d files; at most %d are read", body, end-first+1, mostFiles)
		}
		words = words[:0]
		for i := first; i <= end; i++ {
			words = append(words, fmt.Sprintf("%0*d", len(from), i))
		}
	}
	var err error
	for _, word := range words {
		if to, err = braces(head+word+tail, to); err != nil {
			return nil, err
		}
		if len(to) > mostFiles {
			return nil, usage("data: %q names more than %d files", text, mostFiles)
		}
	}
	return to, nil
}

// partOfFile is the part that a file is called after: train-00000-of-00002.parquet is of train.
func partOfFile(path string) string {
	word := strings.ToLower(filepath.Base(path))
	if at := strings.IndexAny(word, "-_."); at >= 0 {
		word = word[:at]
	}
	return partNames[word]
}

// ofPart are the files of a part, where files are called after several parts; else all of them. found is the part, "" for the whole.
func ofPart(set string, files []string, part string) (chosen []string, found string, err error) {
	names := map[string]string{}
	for _, file := range files {
		p := partOfFile(file)
		if p == "" {
			names = nil
			break
		}
		names[p] = p
	}
	if len(names) < 2 {
		if part == Val && names[Val] == "" {
			return nil, "", usage("data: %s has no part val; use train, test or all", set)
		}
		return files, "", nil
	}
	name, err := chosenPart(set, part, names)
	if err != nil {
		return nil, "", err
	}
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool { return partOfFile(file) != name }), part, nil
}
