// Package ops is the only caller of the engine operations that are missing, wrong or slow on some engine. Each function
// here gives the right value and the right gradient on XLA and on the Go engine, or panics while the graph is built with
// the reason and the mend.
//
//	operation                    XLA                        Go engine                    why
//	Conv, 1x1, no padding        matrix product             matrix product               the general op is slower on both
//	Conv, other                  general op                 shifted slices, one matrix   the general op is 30 times slower there
//	                                                        product each; one product
//	                                                        over patches for few channels
//	Conv, one input channel      product over patches       same                         three times faster than the general op
//	Conv, even kernel side,      shifted slices             same                         the general op's gradient is silently wrong,
//	padding beyond the kernel,                                                           or does not build
//	stride with dilation
//	Pool.Max, window = stride    reshape, ReduceMax         same                         the pool op is 20 times slower
//	Pool.Max, other              Max over shifted slices    same                         padding has no gradient everywhere
//	Pool.Mean                    sum over shifted slices    same                         gradient of padded pooling crashes on Go
//	PadConstant                  Concatenate of constants   same                         Pad has no gradient
//	Moments                      two passes                 same                         the batch-norm op detaches mean and variance
//	GatherOneHot                 Where over one-hot, sum    same                         exact, and its gradient is dense anyway
//	GatherRows                   Gather                     same
//	SoftmaxCrossEntropy          log-sum-exp, float32       same                         fused softmax is missing for bf16 on Go
//
// Images are NHWC, kernels [kh, kw, cin/groups, cout]. Convolutions cannot be differentiated twice on XLA.
package ops
