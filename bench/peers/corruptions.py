#!/usr/bin/env python3
"""Measures imagecorruptions, albumentations and torchvision on the work of `ballast bench corrupt`, and writes a file for --peer-results.

    pip install imagecorruptions scikit-image==0.21.0 'numpy<2' scipy albumentations==2.0.8 torch torchvision setuptools
    python corruptions.py --out corruptions.json [--clock cpu] [--only REGEXP]

imagecorruptions calls scikit-image and numpy by names that newer versions have dropped, so these are pinned, and one argument is translated.
Ballast never needs any of them: the script is here so that anybody can repeat the comparison.

One run of a line is one image of 224 x 224 bytes at severities 1 to 5, on one core: every library here spreads whole images over cores. Times
are medians of at least 7 runs after one that does not count. --clock cpu takes the least processor time instead, for a machine that does
something else besides. A corruption is measured in a library where its formula is that of ImageNet-C; where a library has another of the same
name, its variant ends in "(other formula)" and the ratio says little.
"""
import argparse, json, os, re, statistics, time, warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
warnings.filterwarnings("ignore")

import albumentations as A
import cv2
import numpy as np
import torch
import torchvision
from imagecorruptions import corrupt, corruptions
from torchvision.transforms.v2 import functional as F

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", required=True)
parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
parser.add_argument("--only", default="")
args = parser.parse_args()
torch.set_num_threads(1)
cv2.setNumThreads(1)
clock = time.perf_counter if args.clock == "wall" else time.process_time
pick = statistics.median if args.clock == "wall" else min
lines = []

gaussian = corruptions.gaussian
corruptions.gaussian = lambda *given, multichannel=False, **more: gaussian(*given, channel_axis=-1 if multichannel else None, **more)


def picture(side=224):
    """The image of bench/corrupt.go: three slopes that turn back, and a grain of bytes, in whole numbers."""
    image, state = np.empty((side, side, 3), np.uint8), 1
    for y in range(side):
        for x in range(side):
            for c in range(3):
                state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
                slope = (x * (2 + c) + y * (4 - c)) & 511
                image[y, x, c] = min(max(min(slope, 511 - slope) + ((state >> 24) & 31) - 16, 0), 255)
    return image


def measure(name, variant, five):
    """five is what to do at each severity."""
    if not re.search(args.only, f"corrupt {name} {variant}"):
        return
    for f in five:
        f()
    times, began = [], time.perf_counter()
    while len(times) < 7 or (time.perf_counter() - began < 2 and len(times) < 1000):
        start = clock()
        for f in five:
            f()
        times.append(clock() - start)
    took = pick(times)
    lines.append({"suite": "corrupt", "name": f"{name}, 224x224, severities 1 to 5", "variant": variant, "seconds": took, "runs": len(times)})
    print(f"{name:16s} {variant:44s} {1e3 * took / 5:9.3f} ms an image", flush=True)


IMAGE = picture()
TENSOR = torch.from_numpy(IMAGE).permute(2, 0, 1).contiguous()
FLOATS = TENSOR.float() / 255

THEIRS = {"shot-noise": "shot_noise", "elastic": "elastic_transform", "jpeg": "jpeg_compression"}
for ours in ["gaussian-noise", "shot-noise", "impulse-noise", "defocus-blur", "glass-blur", "motion-blur", "zoom-blur", "snow", "frost", "fog",
             "brightness", "contrast", "elastic", "pixelate", "jpeg", "speckle-noise", "gaussian-blur", "saturate"]:
    theirs = THEIRS.get(ours, ours.replace("-", "_"))
    variant = "imagecorruptions" + (" (other formula)" if ours == "frost" else "")
    measure(ours, variant, [lambda s=s: corrupt(IMAGE, severity=s, corruption_name=theirs) for s in range(1, 6)])


def albumentations(name, make, levels, other=False):
    variant = "albumentations" + (" (other formula)" if other else "")
    transforms = [make(level) for level in levels]
    measure(name, variant, [lambda t=t: t(image=IMAGE)["image"] for t in transforms])


SIGMAS = [1, 2, 3, 4, 6]
QUALITIES = [25, 18, 15, 10, 7]
albumentations("gaussian-noise", lambda s: A.GaussNoise(std_range=(s, s), p=1), [0.08, 0.12, 0.18, 0.26, 0.38])
albumentations("shot-noise", lambda c: A.ShotNoise(scale_range=(1 / c, 1 / c), p=1), [60, 25, 12, 5, 3], other=True)  # in linear light
albumentations("impulse-noise", lambda c: A.SaltAndPepper(amount=(c, c), salt_vs_pepper=(0.5, 0.5), p=1), [0.03, 0.06, 0.09, 0.17, 0.27],
               other=True)  # whole pixels
albumentations("defocus-blur", lambda d: A.Defocus(radius=(d[0], d[0]), alias_blur=(d[1], d[1]), p=1), [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)])
albumentations("glass-blur", lambda g: A.GlassBlur(sigma=g[0], max_delta=g[1], iterations=g[2], mode="fast", p=1),
               [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)], other=True)  # all exchanges of a pass at once
albumentations("glass-blur", lambda g: A.GlassBlur(sigma=g[0], max_delta=g[1], iterations=g[2], mode="exact", p=1),
               [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)])
albumentations("zoom-blur", lambda z: A.ZoomBlur(max_factor=(z[0], z[0]), step_factor=(z[1], z[1]), p=1),
               [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)])
albumentations("pixelate", lambda c: A.Downscale(scale_range=(c, c), interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_NEAREST}, p=1),
               [0.6, 0.5, 0.4, 0.3, 0.25], other=True)  # not boxes of whole pixels
albumentations("jpeg", lambda q: A.ImageCompression(quality_range=(q, q), p=1), QUALITIES)
albumentations("gaussian-blur", lambda s: A.GaussianBlur(sigma_limit=(s, s), blur_limit=0, p=1), SIGMAS)
measure("gaussian-noise", "torchvision", [lambda s=s: F.gaussian_noise(FLOATS, 0.0, s, True) for s in [0.08, 0.12, 0.18, 0.26, 0.38]])
measure("gaussian-blur", "torchvision", [lambda s=s: F.gaussian_blur(TENSOR, [8 * s + 1] * 2, [s] * 2) for s in SIGMAS])
measure("jpeg", "torchvision", [lambda q=q: F.jpeg(TENSOR, q) for q in QUALITIES])
measure("contrast", "torchvision (other formula)", [lambda c=c: F.adjust_contrast(TENSOR, c) for c in [0.4, 0.3, 0.2, 0.1, 0.05]])  # one mean of all
measure("saturate", "torchvision (other formula)", [lambda c=c: F.adjust_saturation(TENSOR, c) for c in [0.3, 0.1, 2, 5, 20]])  # not of HSV
measure("brightness", "torchvision (other formula)", [lambda c=c: F.adjust_brightness(TENSOR, 1 + c) for c in [0.1, 0.2, 0.3, 0.4, 0.5]])  # times, not plus


def cpu():
    for row in open("/proc/cpuinfo"):
        if row.startswith("model name"):
            return row.split(":", 1)[1].strip()
    return ""


machine = {"cpu": cpu(), "cores": os.cpu_count(), "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "system": "linux"}
with open(args.out + ".tmp", "w") as f:
    json.dump({"schema_version": 1, "name": "", "machine": machine, "threads": 1, "lines": lines}, f, indent=2)
os.replace(args.out + ".tmp", args.out)
