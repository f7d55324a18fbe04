"""Transforms and windows."""
import numpy as np

from onnx_operators import array


def scalar(v, t=np.int64):
    return np.array(v, t)


def add(f):
    x, z = array((2, 6, 5, 1)), array((2, 6, 5, 2))
    for axis in (1, 2, -2):
        f.op(f"dft_real_{axis}", "DFT", [x, None, scalar(axis)], opset=20, constant=(2,))
        f.op(f"dft_complex_{axis}", "DFT", [z, None, scalar(axis)], opset=20, constant=(2,))
        f.op(f"dft_onesided_{axis}", "DFT", [x, None, scalar(axis)], opset=20, constant=(2,), onesided=1)
        f.op(f"dft_inverse_{axis}", "DFT", [z, None, scalar(axis)], opset=20, constant=(2,), inverse=1)
    f.op("dft_default", "DFT", [z], opset=20)
    f.op("dft_long", "DFT", [x, scalar(8), scalar(1)], opset=20, constant=(1, 2))
    f.op("dft_short", "DFT", [z, scalar(4), scalar(1)], opset=20, constant=(1, 2))
    f.op("dft_17", "DFT", [x], opset=17)
    f.op("dft_17_axis", "DFT", [z, scalar(7)], opset=17, axis=2, inverse=1, constant=(1,))
    f.op("dft_f64", "DFT", [x.astype(np.float64)], opset=20, onesided=1)
    f.op("dft_prime", "DFT", [array((1, 67, 1)), None, scalar(1)], opset=20, constant=(2,), onesided=1, ref="onnx")
    s = array((2, 20, 1))
    w = np.hanning(8).astype(np.float32)
    f.op("stft", "STFT", [s, scalar(4), w], opset=17, constant=(1, 2))
    f.op("stft_plain", "STFT", [s, scalar(3), None, scalar(6)], opset=17, constant=(1, 3))
    f.op("stft_twosided", "STFT", [s, scalar(4), w], opset=17, constant=(1, 2), onesided=0)
    f.op("stft_complex", "STFT", [array((1, 20, 2)), scalar(5), w], opset=17, constant=(1, 2), onesided=0)
    f.op("stft_odd", "STFT", [s, scalar(2), None, scalar(5)], opset=17, constant=(1, 3))
    for op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
        f.op(op.lower(), op, [scalar(10)], opset=17)
        f.op(op.lower() + "_symmetric", op, [scalar(7)], opset=17, periodic=0, constant=(0,))
        f.op(op.lower() + "_f64", op, [scalar(6)], opset=17, output_datatype=11, constant=(0,), ref="onnx")
    mel = [scalar(8), scalar(64), scalar(8192), scalar(0, np.float32), scalar(4096, np.float32)]
    f.op("mel", "MelWeightMatrix", mel, opset=17, constant=range(5))
    f.op("mel_f64", "MelWeightMatrix", [scalar(5), scalar(33), scalar(8000), scalar(100, np.float32), scalar(3000, np.float32)], opset=17, output_datatype=11, constant=range(5))
