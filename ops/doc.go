// Package ops is the only caller of the engine operations that are missing, wrong or slow on some engine. Each function
// here returns the right value and the right gradient on XLA and on the Go engine, or panics while the graph is built with
// the reason and the fix. Methods that use it do not depend on the engine.
//
//	operation                    XLA                        Go engine                    why
//	Conv, 1x1, no padding        matrix product             matrix product               the general op is slower on both
//	Conv, other                  general op, which runs     shifted slices, one matrix   the general op is 30 times slower on Go
//	                             oneDNN kernels             product each; one product
//	                                                        over patches for few channels
//	Conv, one input channel,     shifted slices, or one     same                         faster; the general op refuses stride with
//	stride with dilation         product over patches                                    dilation
//	Conv, input gradient         Conv, kernel turned        same                         the op's own cannot be differentiated again
//	Conv, kernel gradient        by shape: parts of the     a product for each place     the op's own is up to ten times slower, and
//	                             batch, split shifts, or    of the kernel                silently wrong for even sides
//	                             a product for each place
//	Conv1D, Conv3D               by Conv                    same                         one lowering to keep right
//	ConvTranspose                Conv's input gradient      same                         input dilation has no gradient
//	Pool.Max, window = stride    reshape, ReduceMax         same                         the pool op is 20 times slower
//	Pool.Max, other              Max over shifted slices    same                         padding has no gradient everywhere
//	Pool.Mean                    sum over shifted slices    same                         gradient of padded pooling crashes on Go
//	PadConstant                  Pad, own gradient          Concatenate of constants     Pad has no gradient
//	Resize                       products with constant     same                         bilinear Interpolate is silently wrong on Go
//	                             matrices
//	Moments                      two passes                 same                         the batch-norm op detaches mean and variance
//	Normalize, NormalizeAcross   gradient in closed form    same                         half the passes of the derived one
//	Attention                    gradient in closed form    same                         the derived one stores more than it needs
//	MaskedSoftmax, -LogSoftmax   exp and sum, float32       same                         fused softmax is missing for bf16 on Go
//	SoftmaxCrossEntropy          log-sum-exp, float32       same                         same
//	Rsqrt                        1/Sqrt                     same                         Rsqrt has no gradient
//	Expm1, Softplus, Atan2       op or formula, own         same                         no gradient, or one that overflows
//	                             gradient
//	Floor, Ceil, Round, Mod,     by Floor                   same                         no gradient
//	Rem, RoundStraightThrough
//	Clamp                        Where                      same                         Clamp has no gradient
//	Sort, ArgSort, TopK, Rank    stable sort of integer     bitonic network              no gradient; Go's sort takes 35 us per element, the
//	                             keys                                                    network 3, at 100,000 elements
//	Cumulative.Sum, .Product     log2(n) shifted sums       same                         CumSum's gradient crashes on Go; none of products
//	ReduceProduct                halving                    same                         no gradient, nor a right one at zeros by logs
//	Reverse                      Reverse, own gradient      same                         no gradient
//	TakeAlongAxis, GatherBatch,  Gather of flat rows        same                         GatherSlices was silently wrong, batch axes are
//	SliceAt                                                                              missing, DynamicSlice is missing on Go
//	GatherOneHot                 Where over one-hot, sum    same                         exact, and its gradient is dense anyway
//	GatherRows                   Gather                     same
//	ScatterAdd, ScatterUpdate    scatter-sum; selection     same                         order of equal indices is not defined
//	ScatterDistinct              two scatter-sums           same                         the replacing scatter has no gradient
//	Cond                         both branches, Where       same                         If fails on XLA and has no gradient
//	Loop                         unrolled                   same                         While has no gradient
//	Random                       Threefry-2x32-20 in        same                         the engines' generators differ
//	                             integer operations
//	DFT, InverseDFT, 2-D         FFT op, own gradient       split into products of at    missing on Go; the op's gradient has no
//	                                                        most 64 rows; Bluestein for  second order
//	                                                        prime factors above 64
//	RealDFT, InverseRealDFT      real FFT op, own gradient  same split                   same
//	ComplexPair.Mul              two real arrays            same                         the complex product's gradient is silently wrong
//	Solve, InverseMatrix, LogDet loop: LU, row pivoting     same; picks by mask          not in GoMLX; loops have no gradient
//	TriangularSolve, Cholesky    loop: substitution,        same                         same
//	                             columns
//	SymmetricEigen               loop: Jacobi, n/2          same                         same
//	                             rotations at a time
//	SVD                          loop: one-sided Jacobi,    same                         same
//	                             then Householder
//	CustomGradient               tapped inputs              same                         IdentityWithCustomGradient takes one input
//	SumAcross, GatherAcross      all-reduce                 one device                   all-gather is missing
//
// GoMLX's own are right on both engines, to the second order, for Add, Mul, Div, Exp, Log, Log1p, Sqrt, Tanh, Logistic, Erf,
// Abs, Where, MatMul, DotGeneral, Einsum, the sums, means, maxima, Reshape, Transpose, Concatenate and Broadcast. Slice has
// no second derivative on the Go engine.
//
// Refused: shapes, types, strides, groups and axes that do not fit, each with one that would; integers of type uint64 in
// ArgSort; AlignCorners with Nearest in Resize; more than 2^33 numbers from one key; recomputation in Loop, which XLA would
// merge with the first computation; gradients through SumAcross and GatherAcross, which are 0.
//
// Images are NHWC, kernels [kh, kw, cin/groups, cout]. If the fastest form depends on the shape, one place chooses it by
// measured times, which are listed beside the choice (conv_gradient.go).
package ops
