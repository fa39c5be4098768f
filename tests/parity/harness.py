"""Runs networks of fovea beside their Python peers on the same weights and inputs.

`Tool.run` hands one job to parity_tool, which answers with tensors:

    subject   {"kind": "model", "name": "vit_tiny_patch16_224", "num_classes": 10} or {"kind": "vit", "dim": 64, …}: the
              kinds stand in subjects.cpp
    weights   the peer's module, its state dict or the path of a file, or None to keep the random start
    x         the input tensor
    want      any of
                features, pooled   beside the logits of a model ("output" of a layer)
                gradients          of sum(logits · cotangent): gradient/input and gradient/<parameter>
                buffers            buffer/<name> after the forward pass
                weights            weight/<name> of every parameter and buffer that a checkpoint holds
                shapes             of every parameter and buffer, in reply["shapes"]
    layout    a name of fovea's layout tables; detected unless given
    adapt     fit position and window tables of other sizes
    attention a regular expression: attention/<path> of every map, and their geometry in reply["maps"]
    explain   {"method", "layer", "head", "query", "class"}, all but the first optional: "heat" and "logits" alone
    prepare   run the packed weights; train: run in training mode; dtype: float32, float64 or bfloat16
"""
import json
import os
import pathlib
import subprocess
import tempfile

import safetensors.torch
import torch

SOURCE = pathlib.Path(__file__).resolve().parents[2]


class FoveaError(Exception):
    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class Tool:
    def __init__(self):
        folder = os.environ.get("FOVEA_BIN", SOURCE / "build" / "release" / "bin")
        self.process = subprocess.Popen([pathlib.Path(folder) / "parity_tool"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.reply = {}

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0

    def ask(self, job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"parity_tool ended with {self.process.wait()} on {job}"
        self.reply = json.loads(line)
        if "error" in self.reply:
            raise FoveaError(self.reply["error"], self.reply["code"])
        return self.reply

    def run(self, subject, weights=None, x=None, cotangent=None, want=(), **options):
        with tempfile.TemporaryDirectory() as folder:
            job = {"subject": subject, "want": list(want), **options}
            if isinstance(weights, pathlib.Path):
                job["weights"] = str(weights)
            elif weights is not None:
                state = weights.state_dict() if isinstance(weights, torch.nn.Module) else weights
                job["weights"] = f"{folder}/weights.safetensors"
                safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, job["weights"])
            if x is not None:
                job["input"] = f"{folder}/input.safetensors"
                inputs = {"input": x} if cotangent is None else {"input": x, "cotangent": cotangent}
                safetensors.torch.save_file(inputs, job["input"])
                job["output"] = f"{folder}/output.safetensors"
            self.ask(job)
            return safetensors.torch.load_file(job["output"]) if x is not None else {}


worst = {}  # largest error of each test function, printed by conftest.py at the end


def absolute_error(ours, theirs, scale=1.0):
    """max|a − b| / scale over the tensor, in fp64."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} against {tuple(theirs.shape)}"
    assert torch.isfinite(ours).all()
    error = ((ours.double() - theirs.double()).abs().max() / scale).item()
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition("[")[0].partition(" ")[0]
    worst[test] = max(worst.get(test, 0.0), error)
    return error


def relative_error(ours, theirs):
    """max|a − b| / max|b| over the tensor, in fp64."""
    return absolute_error(ours, theirs, scale=theirs.double().abs().max())


def randomised(model, seed=0):
    """The model in evaluation mode with nothing left at its neutral start: gains near 1, shifts and statistics not 0."""
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor, scale):
        return torch.randn(tensor.shape, generator=generator).to(tensor) * scale

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(noise(parameter, 0.1 if parameter.dim() <= 1 else 0.01))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(noise(buffer, 0.1))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + noise(buffer, 1.0).abs())
    return model.eval()


def images(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def peer_gradients(model, x, cotangent):
    """Gradients of sum(model(x) · cotangent) by parameter name, and of `input`."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    (model(x) * cotangent).sum().backward()
    return {"input": x.grad, **{name: parameter.grad for name, parameter in model.named_parameters()}}


def timm_maps(model, x):
    """Attention probabilities of every timm attention module by path; the model must be made with fused attention off."""
    maps, hooks = {}, []
    for name, module in model.named_modules():
        if name.endswith(".attn_drop"):
            path = name.removesuffix(".attn_drop")
            hooks.append(module.register_forward_hook(
                lambda _module, inputs, _output, path=path: maps.__setitem__(path, inputs[0].detach())))
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    assert maps, "no attention ran unfused"
    return maps
