"""The containers in which the Python world publishes weights, each written by the peer's own saver."""
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file


def one_file(state, folder):
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")
    return folder / "model.safetensors"


def shards(state, folder):
    largest = max(value.nbytes for value in state.values())
    save_torch_state_dict(dict(state), folder, max_shard_size=max(largest, sum(v.nbytes for v in state.values()) // 3))
    return folder / "model.safetensors.index.json"


def zipped(state, folder):
    torch.save(state, folder / "model.pth")
    return folder / "model.pth"


def legacy(state, folder):
    torch.save(state, folder / "model.pth.tar", _use_new_zipfile_serialization=False)
    return folder / "model.pth.tar"


CONTAINERS = (one_file, shards, zipped, legacy)
