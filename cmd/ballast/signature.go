package main

import (
	"github.com/spf13/cobra"
)

func newSignature(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signature",
		Short: "Take what makes a model robust, and patch it onto others",
		Long: `Signature extracts a robust weight signature: what a model fine-tuned on corrupted data has in its weights that one fine-tuned on
clean data has not, both from one pretrained model. It is a small file that is added to a clean model, also one of other data.`,
		Example: `  ballast signature extract --pre base --clean clean --robust noisy --layers first:3 --levels 16 --out noise.sig
  ballast signature apply clean noise.sig contrast.sig=0.5 --out patched
  ballast signature inspect noise.sig`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(newSignatureExtract(a), newSignatureApply(a), newSignatureRemove(a), newSignatureInspect(a))
	return cmd
}
