package main

import (
	"github.com/spf13/cobra"
)

func newSignature(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signature",
		Short: "Extract what makes a model robust and add it to others",
		Long: `Signature extracts a robust weight signature: what the weights of a model fine-tuned on corrupted data have and those of one fine-tuned on
clean data do not, both from one pretrained model. It is a small file that can be added to a clean model, even one trained on other data.`,
		Example: `  ballast signature extract --pre base --clean clean --robust noisy --layers first:3 --levels 16 --out noise.sig
  ballast signature apply clean noise.sig contrast.sig=0.5 --out patched
  ballast signature inspect noise.sig`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(newSignatureExtract(a), newSignatureApply(a), newSignatureRemove(a), newSignatureInspect(a))
	return cmd
}
