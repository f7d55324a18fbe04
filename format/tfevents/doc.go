// Package tfevents writes and reads TensorBoard's event files: scalars, images, histograms and texts over the steps of a run.
//
//	record:  uint64 length | uint32 MaskedCRC(length bytes) | payload | uint32 MaskedCRC(payload)      little endian
//	payload: a protobuf message Event; the first one of a file holds the file version "brain.Event:2"
//
// [Create] makes a file in a run's folder, [NewWriter] writes to any io.Writer. A [Reader] follows a file that is still being
// written: an incomplete record ends the reading for now, and the next call tries again from there. [ReadScalars] returns the curves of
// a whole run, over all its files, without the steps that a resumed run has repeated.
//
// Source: github.com/tensorflow/tensorboard, compat/proto and summary/writer; the histogram's buckets and the layout of text
// summaries follow github.com/pytorch/pytorch, torch/utils/tensorboard/summary.py.
package tfevents
