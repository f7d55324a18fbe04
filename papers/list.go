package papers

// List is every paper, in alphabetical order of slugs. Catalogue, help texts and completion read it.
func List() []Paper {
	return []Paper{
		batchChannelNorm,
		batchnormOnly,
		evonorm,
		ghostBatchNorm,
		grokking,
		ibnNet,
		layerNorm,
		modelSoups,
		powerNorm,
		regionNorm,
		robustWeightSignatures,
		selfPositioning,
		unifiedNorm,
	}
}
