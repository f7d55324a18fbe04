package main

import (
	"errors"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/internal/durable"
)

// collectEarly keeps the peak of memory near what is used while many small objects are made of a file; call what it returns after.
func collectEarly() (restore func()) {
	before := debug.SetGCPercent(4)
	return func() { debug.SetGCPercent(before) }
}

// overwriteFlag adds the one flag that lets a verb replace an output that is there.
func overwriteFlag(cmd *cobra.Command, overwrite *bool) {
	cmd.Flags().BoolVar(overwrite, "overwrite", false, "replace an output that exists, if Ballast wrote it, once the new one is complete")
}

// claimed runs work while this process alone may write an output: claims says which, and is asked before the work begins.
func claimed(claims func() (release func() error, err error), work func() error) (err error) {
	release, err := claims()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	return work()
}

// claimFile claims one output file; "" claims nothing.
func claimFile(path string, overwrite bool) func() (func() error, error) {
	return func() (func() error, error) {
		if path == "" {
			return func() error { return nil }, nil
		}
		c, _, err := durable.ClaimFile(path, durable.Permit{Overwrite: overwrite})
		return c.Release, err
	}
}

// claimBundle claims a folder for a bundle.
func claimBundle(path string, overwrite bool) func() (func() error, error) {
	return claimDir(path, durable.Permit{Overwrite: overwrite, Owns: bundle.Owns})
}

// claimMarked claims a folder whose files are listed in durable.MarkFile.
func claimMarked(path string, overwrite bool) func() (func() error, error) {
	return claimDir(path, durable.Marked(overwrite))
}

// claimRun claims a folder that a verb works in and resumes in, and works. The folder stays as it is until work calls begin, when all that
// can be refused has been: with overwrite it is then emptied, if it holds nothing but files.
func claimRun(verb, path string, known func(dir string) bool, files []string, overwrite bool, work func(begin func() error) error) (err error) {
	c, err := durable.ClaimWork(path, durable.Work{
		Verb: verb, Known: known, Overwrite: overwrite, Owns: durable.Only(append([]string{durable.MarkFile}, files...)...), Later: true,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Release()) }()
	return work(c.Begin)
}

// overwriteRunFlag is overwriteFlag for verbs that work in a folder.
func overwriteRunFlag(cmd *cobra.Command, overwrite *bool) {
	cmd.Flags().BoolVar(overwrite, "overwrite", false, "start again in a folder that holds a run: the run is removed, if the folder holds nothing else")
}

func claimDir(path string, allowed durable.Permit) func() (func() error, error) {
	return func() (func() error, error) {
		c, err := durable.ClaimDir(path, allowed)
		return c.Release, err
	}
}
