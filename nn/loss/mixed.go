package loss

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
)

// Mixable is a Set that takes mixed examples: its labels may be shares of classes.
type Mixable interface {
	Set

	// Mixed is what the Set looks at for mixed embeddings [m, d] with the shares of their classes [m, classes], beside the batch that in
	// has: anchors of the batch against mixed examples, or proxies against mixed examples.
	Mixed(in In, embeddings, shares *Node) In
}

var (
	_ Mixable = Contrastive{}
	_ Mixable = Pairs{}
	_ Mixable = ProxyAnchor{}
)

// Mixed compares each embedding of the batch with each mixed one.
func (Contrastive) Mixed(in In, embeddings, shares *Node) In { return in.against(embeddings, shares) }

// Mixed compares each embedding of the batch with each mixed one.
func (Pairs) Mixed(in In, embeddings, shares *Node) In { return in.against(embeddings, shares) }

// Mixed compares the proxies with the mixed embeddings.
func (ProxyAnchor) Mixed(in In, embeddings, shares *Node) In {
	in.Features, in.Targets = []*Node{embeddings}, shares
	return in
}

// against is in with mixed embeddings as the others.
func (in In) against(embeddings, shares *Node) In {
	in.Features, in.Targets = []*Node{in.Features[0], embeddings}, shares
	return in
}

// Selective is a Set that takes a part of the pairs alone, those that are not yet as they should be.
type Selective interface {
	Set

	// Active is the share of the pairs of one class that it takes, and of the pairs of two classes, scalar constants; 0 where there is no
	// such pair.
	Active(in In) (positives, negatives *Node)
}

var _ Selective = TCM{}
