"""Files of torchvision, timm and transformers, and what these libraries answer with them.

    python subjects.py small zoo/testdata/peers     the reduced networks that the tests of zoo read (below 300 KB together)
    python subjects.py full BALLAST DIR             the published sizes with random weights: BALLAST runs each, answers are compared
    python subjects.py pixels data/preprocess/testdata/pillow.json    what Pillow, torchvision, timm and transformers make of small images

Weights are random, those of norms and scales too, so that none may be mistaken for another. An image's values follow from their places:
value k of [batch, height, width, channels] is ((73 k + 41) mod 256) / 255.
Needs torch, torchvision, timm, transformers, safetensors and numpy.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
import timm
import torch
import torchvision
import transformers
from PIL import Image
from safetensors.torch import save_file
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


def randomise(model, seed):
    """Gives every parameter and buffer a value of its own, of a size that keeps activations near 1."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in list(model.named_parameters()) + list(model.named_buffers()):
            if not p.is_floating_point():
                continue
            draw = torch.randn(p.shape, generator=g)
            if name.endswith("running_var"):
                p.copy_(0.5 + draw.abs())
            elif p.dim() > 1 and min(p.shape[1:]) >= 1 and p.numel() > max(p.shape):
                p.copy_(draw / max(1, p[0].numel()) ** 0.5)
            elif name.endswith("weight") or "gamma" in name or "scale" in name:
                p.copy_(1 + 0.2 * draw)
            else:
                p.copy_(0.2 * draw)
    return model.eval()


def images(n, side, channels=3):
    k = np.arange(n * side * side * channels, dtype=np.int64)
    return (((73 * k + 41) % 256) / 255).astype(np.float32).reshape(n, side, side, channels)


def answers(model, x):
    with torch.no_grad():
        y = model(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous())
    return (y.logits if hasattr(y, "logits") else y).numpy()


class SmallResNet(ResNet):
    """torchvision's network with fewer channels, which its constructor does not offer."""

    def __init__(self, block, blocks, channels, classes):
        torch.nn.Module.__init__(self)
        self._norm_layer, self.inplanes, self.dilation, self.groups, self.base_width = torch.nn.BatchNorm2d, channels[0], 1, 1, 64
        self.conv1 = torch.nn.Conv2d(3, self.inplanes, 7, 2, 3, bias=False)
        self.bn1, self.relu, self.maxpool = torch.nn.BatchNorm2d(self.inplanes), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2, 1)
        for i, (n, c) in enumerate(zip(blocks, channels)):
            setattr(self, f"layer{i + 1}", self._make_layer(block, c, n, 1 + min(i, 1)))
        self.avgpool, self.fc = torch.nn.AdaptiveAvgPool2d((1, 1)), torch.nn.Linear(channels[-1] * block.expansion, classes)


def hf_resnet(**options):
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(**options))


def small():
    """Name, model, side of an image and configuration of each reduced network."""
    labels = {"num_labels": 5}
    vit = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20, "image_size": 16, "patch_size": 4}
    timm_vit = {"embed_dim": 12, "depth": 2, "num_heads": 3, "img_size": 16, "patch_size": 4, "num_classes": 5}
    yield "resnet-basic-torchvision", SmallResNet(BasicBlock, [2, 1, 1, 1], [4, 5, 6, 7], 5), 33, None
    yield "resnet-bottleneck-torchvision", SmallResNet(Bottleneck, [1, 2, 1, 1], [2, 3, 4, 5], 5), 32, None
    yield "resnet-d-timm", timm.create_model("resnet50d", channels=(2, 3, 4, 5), stem_width=3, layers=(1, 2, 1, 1), num_classes=5), 37, None
    yield "resnet-basic-transformers", hf_resnet(embedding_size=4, hidden_sizes=[4, 6], depths=[1, 2], layer_type="basic", **labels), 32, "hf"
    yield "resnet-bottleneck-transformers", hf_resnet(
        embedding_size=4, hidden_sizes=[8, 12], depths=[2, 1], layer_type="bottleneck", downsample_in_first_stage=True, downsample_in_bottleneck=True, **labels
    ), 32, "hf"
    yield "vit-transformers", transformers.ViTForImageClassification(transformers.ViTConfig(**vit, **labels)), 16, "hf"
    yield "vit-timm", timm.create_model("vit_tiny_patch16_224", **timm_vit), 16, {"architecture": "vit_tiny_patch16_224", "num_classes": 5, "model_args": {"num_heads": 3}}
    yield "convnext-torchvision", ConvNeXt([CNBlockConfig(4, 6, 1), CNBlockConfig(6, None, 2)], num_classes=5), 24, None
    yield "convnext-timm", timm.create_model("convnext_tiny", depths=(1, 1, 2, 1), dims=(3, 4, 5, 6), num_classes=5), 35, None
    yield "convnext-transformers", transformers.ConvNextForImageClassification(
        transformers.ConvNextConfig(hidden_sizes=[4, 6], depths=[1, 2], num_stages=2, **labels)
    ), 24, "hf"


def full():
    """The published sizes."""
    for depth in (18, 34, 50):
        yield f"torchvision-resnet{depth}", getattr(torchvision.models, f"resnet{depth}")(), 224, None
        yield f"timm-resnet{depth}", timm.create_model(f"resnet{depth}"), 224, None
    yield "timm-resnet50d", timm.create_model("resnet50d"), 224, None
    yield "transformers-resnet18", hf_resnet(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic", num_labels=1000), 224, "hf"
    yield "transformers-resnet34", hf_resnet(hidden_sizes=[64, 128, 256, 512], depths=[3, 4, 6, 3], layer_type="basic", num_labels=1000), 224, "hf"
    yield "transformers-resnet50", hf_resnet(num_labels=1000), 224, "hf"
    yield "transformers-vit-base", transformers.ViTForImageClassification(transformers.ViTConfig(num_labels=1000)), 224, "hf"
    for name in ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224"):
        yield f"timm-{name}", timm.create_model(name), 224, None
    yield "torchvision-convnext-tiny", torchvision.models.convnext_tiny(), 224, None
    yield "timm-convnext-tiny", timm.create_model("convnext_tiny"), 224, None
    yield "transformers-convnext-tiny", transformers.ConvNextForImageClassification(transformers.ConvNextConfig(num_labels=1000)), 224, "hf"


def save(model, config, folder):
    os.makedirs(folder, exist_ok=True)
    if config == "hf":
        model.save_pretrained(folder)
        return
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, f"{folder}/model.safetensors", metadata={"format": "pt"})
    if config:
        with open(f"{folder}/config.json", "w") as f:
            json.dump(config, f)


def write_small(out):
    for seed, (name, model, side, config) in enumerate(small()):
        randomise(model, seed)
        save(model, config, f"{out}/{name}")
        y = answers(model, images(2, side))
        with open(f"{out}/{name}/answers.json", "w") as f:
            json.dump({"side": side, "logits": [[float(v) for v in row] for row in y.astype(np.float64)]}, f)


def compare_full(ballast, out):
    print("| network | largest logit | largest difference | ballast, s | torch, s |\n| --- | --- | --- | --- | --- |")
    worst = 0.0
    for seed, (name, model, side, config) in enumerate(full()):
        randomise(model, seed)
        folder = f"{out}/{name}"
        save(model, config, folder)
        x = images(2, side)
        began = time.time()
        want = answers(model, x)
        torch_seconds = time.time() - began
        np.save(f"{folder}/x.npy", x)
        began = time.time()
        subprocess.run(
            [ballast, "run", folder, "--preprocess", "none", "--input", f"{folder}/x.npy", "--output", f"logits={folder}/y.npy", "--overwrite", "-q"], check=True, stdout=subprocess.DEVNULL
        )
        seconds = time.time() - began
        got = np.load(f"{folder}/y.npy")
        scale = max(1.0, float(np.abs(want).max()))
        difference = float(np.abs(got - want).max())
        worst = max(worst, difference / scale)
        print(f"| {name} | {np.abs(want).max():.3g} | {difference:.2g} | {seconds:.1f} | {torch_seconds:.2f} |", flush=True)
        os.remove(f"{folder}/model.safetensors")
    if worst > 1e-4:
        sys.exit(f"a difference is {worst:.2g} of the largest logit; want at most 1e-4")


def pattern(height, width, channels):
    """Bytes that vary both slowly and fast."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    return ((37 * y * y + 91 * x + 53 * c + 7 * x * y) % 256).astype(np.uint8)


def as_image(pixels):
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])


def write_pixels(out):
    filters = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
    resized = []
    for (h, w, c), (to_h, to_w) in [((7, 5, 3), (3, 4)), ((16, 9, 1), (12, 30)), ((33, 20, 3), (11, 20)), ((10, 24, 3), (10, 7)), ((4, 4, 1), (9, 9))]:
        for name, number in filters.items():
            got = np.asarray(as_image(pattern(h, w, c)).resize((to_w, to_h), number)).reshape(-1)
            resized.append({"from": [h, w, c], "to": [to_h, to_w], "interpolation": name, "bytes": got.tolist()})

    T = torchvision.transforms
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    pipelines = []

    def add(name, settings, shape, run):
        got = np.asarray(run(as_image(pattern(*shape)).convert("RGB"))).astype(np.float64)
        pipelines.append({"name": name, "settings": settings, "from": list(shape), "shape": list(got.shape), "values": [round(float(v), 6) for v in got.reshape(-1)]})

    for shape in [(31, 20, 3), (21, 30, 3)]:
        add("torchvision", {"resize": [16], "crop": [9], "mean": mean, "std": std}, shape,
            T.Compose([T.Resize(16), T.CenterCrop(9), T.ToTensor(), T.Normalize(mean, std)]))
        add("torchvision, crop beyond the image", {"resize": [8], "crop": [11, 13]}, shape, T.Compose([T.Resize(8), T.CenterCrop((11, 13)), T.ToTensor()]))
        cfg = {"input_size": [3, 10, 10], "interpolation": "bicubic", "crop_pct": 0.9, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_mode": "center"}
        for mode in ("center", "squash"):
            cfg = dict(cfg, crop_mode=mode)
            data_config = timm.data.resolve_data_config({}, pretrained_cfg=cfg)
            add("timm " + mode, {"architecture": "x", "pretrained_cfg": cfg}, shape, timm.data.create_transform(**data_config, is_training=False))
        for name, config in {
            "ViTImageProcessorPil": {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 10, "width": 10}, "resample": 2,
                                     "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]},
            "ConvNextImageProcessorPil": {"image_processor_type": "ConvNextImageProcessor", "do_resize": True, "size": {"shortest_edge": 14}, "crop_pct": 0.875, "resample": 3,
                                          "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": mean, "image_std": std},
            "CLIPImageProcessorPil": {"image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": 10}, "resample": 3, "do_center_crop": True,
                                      "crop_size": {"height": 9, "width": 9}, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
                                      "image_mean": [0.48, 0.45, 0.40], "image_std": [0.26, 0.26, 0.27]},
            "DeiTImageProcessorPil": {"image_processor_type": "DeiTImageProcessor", "do_resize": True, "size": {"height": 12, "width": 12}, "resample": 3, "do_center_crop": True,
                                      "crop_size": {"height": 9, "width": 9}, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": mean, "image_std": std},
        }.items():
            processor = getattr(transformers, name)(**{k: v for k, v in config.items() if k != "image_processor_type"})
            add(name, config, shape, lambda image, p=processor: p(image, return_tensors="np")["pixel_values"][0])
    with open(out, "w") as f:
        json.dump({"resized": resized, "pipelines": pipelines}, f)


if __name__ == "__main__":
    if sys.argv[1] == "small":
        write_small(sys.argv[2])
    elif sys.argv[1] == "pixels":
        write_pixels(sys.argv[2])
    else:
        compare_full(sys.argv[2], sys.argv[3])
