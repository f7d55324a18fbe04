// Package engine opens the engine that runs the graphs: XLA on a GPU, XLA on the CPU, or the pure Go engine. It reports which one it
// chose and why.
//
//	engine     what                                needs
//	xla:cuda   XLA's CUDA plugin                   "ballast engine install --cuda" once, an NVIDIA GPU, cgo
//	xla:cpu    XLA's CPU plugin                    "ballast engine install" once, cgo
//	go         GoMLX's Go engine, ops_sequential   nothing; 10 to 100 times slower
//
// A build with the tag noxla, or without cgo, has only the Go engine. A plugin is loaded only if its bytes are those that were
// installed and a child process has loaded it once before, because a damaged shared library kills the process that loads it.
package engine
