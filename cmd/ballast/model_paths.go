package main

import "github.com/ballast-ml/ballast/data"

// modelPaths are where the models are that a user has named; see data.ModelPath.
func modelPaths(names []string) ([]string, error) {
	paths := make([]string, len(names))
	for i, name := range names {
		var err error
		if paths[i], err = data.ModelPath(name); err != nil {
			return nil, err
		}
	}
	return paths, nil
}
