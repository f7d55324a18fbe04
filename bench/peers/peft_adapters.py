"""Make the cases of merge/adapter: small bases, adapters that the peft library saves for them, and what it merges.

    pip install peft==0.21.2 torch transformers safetensors numpy
    python bench/peers/peft_adapters.py merge/adapter/testdata

Each case is a folder with base.safetensors, adapter/ and merged.safetensors, computed by peft in float64 and rounded to float32 once.
"""
import json
import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers.pytorch_utils import Conv1D


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(11, 6)
        self.layers = torch.nn.ModuleList([Block() for _ in range(2)])
        self.conv = torch.nn.Conv2d(3, 4, (3, 2))
        self.score = torch.nn.Linear(6, 3)

    def get_input_embeddings(self):
        return self.embed

    def get_output_embeddings(self):
        return self.score

    def forward(self, x):
        return x


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = torch.nn.Linear(6, 8)
        self.v_proj = torch.nn.Linear(6, 5, bias=False)
        self.norm = torch.nn.LayerNorm(6)


class Transposed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = Conv1D(9, 6)
        self.c_proj = Conv1D(6, 6)

    def forward(self, x):
        return x


CASES = {
    "plain": (Net, dict(r=3, lora_alpha=7, target_modules=["q_proj", "v_proj"])),
    "rslora": (Net, dict(r=4, lora_alpha=5, use_rslora=True, target_modules=["q_proj"])),
    "patterns": (Net, dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], rank_pattern={"layers.1.q_proj": 5, "v_proj": 3},
                           alpha_pattern={r"layers\.0\.q_proj": 16, "^layers.1.v_proj": 1})),
    "embedding": (Net, dict(r=2, lora_alpha=3, target_modules=["embed", "score"])),
    "embedding_layer": (Net, dict(r=2, lora_alpha=3, target_modules=["embed"])),  # its base goes along, and has moved
    "conv": (Net, dict(r=2, lora_alpha=3, target_modules=["conv"])),
    "dora": (Net, dict(r=3, lora_alpha=6, use_dora=True, target_modules=["q_proj", "conv"])),
    "bias": (Net, dict(r=2, lora_alpha=2, bias="all", target_modules=["q_proj"])),
    "lora_bias": (Net, dict(r=2, lora_alpha=5, lora_bias=True, target_modules=["q_proj"])),
    "saved": (Net, dict(r=2, lora_alpha=2, target_modules=["v_proj"], modules_to_save=["score", "norm"])),
    "transposed": (Transposed, dict(r=2, lora_alpha=3, fan_in_fan_out=True, target_modules=["c_attn", "c_proj"])),
    "transposed_dora": (Transposed, dict(r=2, lora_alpha=3, fan_in_fan_out=True, use_dora=True, target_modules=["c_attn"])),
}


def plain(state):
    return {k: v.detach().to(torch.float32).contiguous() for k, v in state.items()}


def sort_sets(path):
    """puts lists that are sets into an order, so that two runs write the same"""
    config = json.loads(path.read_text())
    for key, value in config.items():
        if isinstance(value, list):
            config[key] = sorted(value)
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def main(out):
    for i, (name, (network, options)) in enumerate(CASES.items()):
        torch.manual_seed(i)
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        base = network()
        # Values that float32 holds, computed with in float64.
        for p in base.parameters():
            p.data = torch.randn_like(p)
        save_file(plain(base.state_dict()), folder / "base.safetensors")
        model = get_peft_model(base, LoraConfig(**options))
        for key, p in model.named_parameters():
            if p.requires_grad:
                p.data = (p.data.abs() if "magnitude" in key else torch.zeros_like(p)) + torch.randn_like(p) * 0.3
        if name == "embedding_layer":
            model.get_input_embeddings().base_layer.weight.data += 1
        model.save_pretrained(folder / "adapter", save_embedding_layers=name == "embedding_layer")
        (folder / "adapter" / "README.md").unlink(missing_ok=True)
        sort_sets(folder / "adapter" / "adapter_config.json")
        save_file(plain(model.double().merge_and_unload().state_dict()), folder / "merged.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
