"""How many pictures a second torchvision reads from a folder, beside `go test ./data/preprocess -bench Folder`.

    python bench/peers/folder.py DIR        # makes 200 JPEG files of 500x375 in DIR where there are none; torch, torchvision, Pillow
    BALLAST_BENCH_PICTURES=DIR go test ./data/preprocess -run '^$' -bench Folder

Both decode, resize the shorter side to 256 (bilinear), cut the middle of 224x224 and make numbers in [0,1].
"""

import os
import sys
import time

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

root = sys.argv[1]
if not os.path.isdir(root):
    rng = np.random.default_rng(1)
    for i in range(200):
        os.makedirs(f"{root}/{i % 2}", exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((500, 375), Image.BICUBIC), dtype=np.int16)
        noisy = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(f"{root}/{i % 2}/{i:03d}.jpg", quality=90)

torch.set_num_threads(1)
made = ImageFolder(root, transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]))
for workers in [0, 2]:
    loader = torch.utils.data.DataLoader(made, batch_size=32, num_workers=workers, persistent_workers=workers > 0)
    best = 0.0
    for _ in range(4):  # the first pass starts the workers
        start, read = time.time(), 0
        for x, _ in loader:
            read += len(x)
        best = max(best, read / (time.time() - start))
    print(f"{max(workers, 1)} core{'s' if workers else ''}: {best:.0f} pictures/s")
