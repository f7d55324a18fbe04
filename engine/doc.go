// Package engine opens what runs the graphs: XLA on a GPU, XLA on the CPU, or the pure Go engine, and says which and why.
//
//	engine     what                                needs
//	xla:cuda   XLA's CUDA plugin                   "ballast engine install --cuda" once, an NVIDIA GPU, cgo
//	xla:cpu    XLA's CPU plugin                    "ballast engine install" once, cgo
//	go         GoMLX's Go engine, ops_sequential   nothing; 10 to 100 times slower
//
// A build with the tag noxla, or without cgo, has the Go engine alone. A plugin is loaded only after its bytes were found
// to be the ones installed, since a damaged shared library kills the process that loads it, and after it was once seen to
// load in a child process.
package engine
