// Package papers lists the published methods that Ballast brings, each in a folder of its own with its claims as code and its recipe
// as data. List is the one list of them, ledger.json the evidence, written by "ballast reproduce" alone.
package papers

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	alphabn "github.com/ballast-ml/ballast/papers/alpha-bn"
	batchchannelnorm "github.com/ballast-ml/ballast/papers/batch-channel-norm"
	"github.com/ballast-ml/ballast/papers/batchformer"
	batchnormonly "github.com/ballast-ml/ballast/papers/batchnorm-only"
	"github.com/ballast-ml/ballast/papers/elr"
	"github.com/ballast-ml/ballast/papers/evonorm"
	ghostbatchnorm "github.com/ballast-ml/ballast/papers/ghost-batch-norm"
	"github.com/ballast-ml/ballast/papers/grokking"
	ibnnet "github.com/ballast-ml/ballast/papers/ibn-net"
	layernorm "github.com/ballast-ml/ballast/papers/layer-norm"
	"github.com/ballast-ml/ballast/papers/metrix"
	modelsoups "github.com/ballast-ml/ballast/papers/model-soups"
	"github.com/ballast-ml/ballast/papers/paper"
	powernorm "github.com/ballast-ml/ballast/papers/power-norm"
	rankmixup "github.com/ballast-ml/ballast/papers/rank-mixup"
	regionnorm "github.com/ballast-ml/ballast/papers/region-norm"
	robustweightsignatures "github.com/ballast-ml/ballast/papers/robust-weight-signatures"
	selfpositioning "github.com/ballast-ml/ballast/papers/self-positioning"
	"github.com/ballast-ml/ballast/papers/shrinkmatch"
	"github.com/ballast-ml/ballast/papers/tcm"
	temperatureoverlap "github.com/ballast-ml/ballast/papers/temperature-overlap"
	"github.com/ballast-ml/ballast/papers/transmix"
	unifiednorm "github.com/ballast-ml/ballast/papers/unified-norm"
	unmixtns "github.com/ballast-ml/ballast/papers/unmix-tns"
)

//go:embed ledger.json
var ledger []byte

// List is every paper, in alphabetical order of slugs. Catalogue, help texts and completion read it.
func List() []paper.Paper {
	return []paper.Paper{
		alphabn.Paper,
		batchchannelnorm.Paper,
		batchformer.Paper,
		batchnormonly.Paper,
		elr.Paper,
		evonorm.Paper,
		ghostbatchnorm.Paper,
		grokking.Paper,
		ibnnet.Paper,
		layernorm.Paper,
		metrix.Paper,
		modelsoups.Paper,
		powernorm.Paper,
		rankmixup.Paper,
		regionnorm.Paper,
		robustweightsignatures.Paper,
		selfpositioning.Paper,
		shrinkmatch.Paper,
		tcm.Paper,
		temperatureoverlap.Paper,
		transmix.Paper,
		unifiednorm.Paper,
		unmixtns.Paper,
	}
}

// EmbeddedLedger is the ledger this build carries, with the verdicts on every entry.
func EmbeddedLedger() (paper.Ledger, error) {
	book, err := paper.ParseLedger("ledger.json", ledger)
	book.Judge(List())
	return book, err
}

// Find returns the paper with the slug, or a usage error that names the nearest one.
func Find(slug string) (paper.Paper, error) {
	all := List()
	if i := slices.IndexFunc(all, func(p paper.Paper) bool { return p.Slug == slug }); i >= 0 {
		return all[i], nil
	}
	slugs := make([]string, len(all))
	for i, p := range all {
		slugs[i] = p.Slug
	}
	if near, ok := strict.Nearest(slug, slugs); ok {
		return paper.Paper{}, &fault.Usage{Err: fmt.Errorf("papers: no paper %q; did you mean %q?", slug, near)}
	}
	return paper.Paper{}, &fault.Usage{Err: fmt.Errorf(`papers: no paper %q; "ballast papers" lists them`, slug)}
}
