"""GridSample, AffineGrid, RoiAlign and their kin."""
import numpy as np

from onnx_operators import array


def add(f):
    x = array((2, 2, 4, 5))
    grid = (np.random.default_rng(3).uniform(-1.4, 1.4, (2, 3, 2, 2))).astype(np.float32)
    for mode in ("linear", "nearest", "cubic"):
        for padding in ("zeros", "border", "reflection"):
            for corners in (0, 1):
                f.op(f"grid_{mode}_{padding}_{corners}", "GridSample", [x, grid], opset=20, mode=mode, padding_mode=padding, align_corners=corners)
    f.op("grid_16", "GridSample", [x, grid], opset=16)
    f.op("grid_16_cubic", "GridSample", [x, grid], opset=16, mode="bicubic", padding_mode="border")
    x3, g3 = array((1, 2, 3, 2, 4)), (np.random.default_rng(4).uniform(-1.3, 1.3, (1, 2, 2, 2, 3))).astype(np.float32)
    for mode in ("linear", "nearest"):
        for padding in ("zeros", "border", "reflection"):
            f.op(f"grid3_{mode}_{padding}", "GridSample", [x3, g3], opset=20, mode=mode, padding_mode=padding, align_corners=int(padding == "border"))
    f.op("grid_f64", "GridSample", [x.astype(np.float64), grid.astype(np.float64)], opset=20)
    f.op("grid_int", "GridSample", [array((1, 1, 3, 3), np.int32), grid[:1]], opset=20, mode="nearest", ref="onnx")
    theta2, theta3 = array((2, 2, 3)), array((1, 3, 4))
    for corners in (0, 1):
        f.op(f"affine2_{corners}", "AffineGrid", [theta2, np.array([2, 3, 4, 5], np.int64)], opset=20, align_corners=corners, constant=(1,))
        f.op(f"affine3_{corners}", "AffineGrid", [theta3, np.array([1, 3, 2, 3, 4], np.int64)], opset=20, align_corners=corners, constant=(1,))
    maps, rois, of = array((2, 2, 6, 7)), np.array([[0.4, 0.9, 4.2, 3.9], [1, 1, 6.5, 5.5], [-2, -1, 1, 0.5]], np.float32), np.array([0, 1, 1], np.int64)
    f.op("roi", "RoiAlign", [maps, rois, of], opset=16, output_height=2, output_width=3, sampling_ratio=2)
    f.op("roi_free", "RoiAlign", [maps, rois, of], opset=16, output_height=2, output_width=2)
    f.op("roi_scale", "RoiAlign", [maps, rois * 2, of], opset=16, output_height=2, output_width=2, spatial_scale=0.5, sampling_ratio=1)
    f.op("roi_max", "RoiAlign", [maps, rois, of], opset=16, output_height=2, output_width=2, mode="max", sampling_ratio=2)
    f.op("roi_output_half", "RoiAlign", [maps, rois, of], opset=16, output_height=2, output_width=2, coordinate_transformation_mode="output_half_pixel", sampling_ratio=2)
    f.op("roi_10", "RoiAlign", [maps, rois, of], opset=10, output_height=1, output_width=2, sampling_ratio=3)
    f.op("max_roi", "MaxRoiPool", [maps, np.array([[0, 0, 0, 3, 3], [1, 2, 1, 6, 5]], np.float32)], opset=16, pooled_shape=[2, 2])
    f.op("max_roi_scale", "MaxRoiPool", [maps, np.array([[0, 0, 0, 6, 6], [1, 4, 2, 12, 10]], np.float32)], opset=16, pooled_shape=[2, 3], spatial_scale=0.5)
    p, at = np.array([[[[5, 6], [7, 8]]]], np.float32), np.array([[[[5, 7], [13, 15]]]], np.int64)
    f.op("unpool", "MaxUnpool", [p, at], opset=11, kernel_shape=[2, 2], strides=[2, 2])
    f.op("unpool_shape", "MaxUnpool", [p, at, np.array([1, 1, 5, 5], np.int64)], opset=11, kernel_shape=[2, 2], strides=[2, 2], constant=(2,), ref="onnx")
    f.op("unpool_pads", "MaxUnpool", [array((1, 2, 3)), np.array([[[0, 2, 4], [7, 8, 10]]], np.int64)], opset=11, kernel_shape=[3], strides=[2], pads=[1, 0])
    dx, dw = array((1, 2, 4, 4)), array((2, 2, 2, 2), seed=1)
    off = array((1, 8, 3, 3), seed=2, scale=0.5)
    f.op("deform", "DeformConv", [dx, dw, off], opset=19, kernel_shape=[2, 2], ref="onnx")
    f.op("deform_all", "DeformConv", [dx, array((4, 1, 2, 2), seed=1), array((1, 16, 3, 3), seed=2, scale=0.5), array(4, seed=5), array((1, 8, 3, 3), seed=6)], opset=19, group=2,
         offset_group=2, ref="onnx")
    f.op("deform_pads", "DeformConv", [dx, dw, array((1, 8, 2, 2), seed=2, scale=0.5), array(2, seed=5)], opset=19, pads=[1, 1, 1, 1], strides=[2, 2], dilations=[2, 2], ref="onnx")
