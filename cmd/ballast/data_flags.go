package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/printable"
)

// dataFlags are the flags of verbs that hold a model against data of a user's own.
type dataFlags struct {
	sample        int
	skipDamaged   bool
	skipUnmatched bool
}

// dataFlagNames are the names of the flags, for verbs that may have no data.
var dataFlagNames = []string{"sample", "skip-damaged", "skip-unmatched"}

// add adds the flags to a verb.
func (f *dataFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.sample, "sample", 0, "take this many examples alone, of each class its share, drawn with --seed (default: all)")
	flags.BoolVar(&f.skipDamaged, "skip-damaged", false, "leave out pictures that cannot be decoded, and count them; each is decoded once more for that")
	flags.BoolVar(&f.skipUnmatched, "skip-unmatched", false, "leave out examples of classes that the model lacks, and count them")
}

// check refuses a sample of nothing, before data are opened.
func (f dataFlags) check(cmd *cobra.Command) error {
	if f.sample < 1 && cmd.Flags().Changed("sample") {
		return usagef("--sample is %d; use at least 1", f.sample)
	}
	return nil
}

// openData opens a part of a set as the flags say, and says what a set of the user's own was taken for.
func (a *app) openData(name, part string, f dataFlags) (data.Dataset, error) {
	progress, done := a.counter("data")
	ds, err := data.Opening{SkipDamaged: f.skipDamaged, Progress: progress}.Open(name, part)
	done()
	if err != nil {
		return nil, err
	}
	if f.sample > 0 {
		if ds, err = data.Sampled(ds, f.sample, a.seed); err != nil {
			return nil, err
		}
	}
	a.sayTaken(ds)
	return ds, nil
}

// sayTaken says what a set was taken for, in one block.
func (a *app) sayTaken(ds data.Dataset) {
	notes := data.NotesOf(ds)
	if len(notes) == 0 {
		return
	}
	a.remark("%s is taken for:", printable.Line(ds.Info().Name))
	for _, n := range notes {
		a.remark("  %-13s %s", n.What, printable.Line(n.Is))
	}
}

// into puts what the flags say of the classes into the options of an audit.
func (f dataFlags) into(o evaluate.Options) evaluate.Options {
	o.SkipUnmatched, o.SkipFlag = f.skipUnmatched, skipUnmatchedFlag
	return o
}

// words are the flags as a command line has them.
func (f dataFlags) words() []string {
	var words []string
	if f.sample > 0 {
		words = append(words, "--sample", fmt.Sprint(f.sample))
	}
	if f.skipDamaged {
		words = append(words, "--skip-damaged")
	}
	if f.skipUnmatched {
		words = append(words, "--skip-unmatched")
	}
	return words
}

// skipUnmatchedFlag is what errors about classes without a match offer.
const skipUnmatchedFlag = "--skip-unmatched"
