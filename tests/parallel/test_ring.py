"""Ring attention in real processes against the formula over the whole sequence, outputs and gradients."""
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

TOOL = Path(os.environ["FOVEA_BIN"]) / "ring_tool"
USAGE, DATA, IO = 2, 3, 4


def processes(folder, size, job, environment=None):
    """Runs them side by side; their exit codes, answers and errors by rank."""
    meeting = "-" if environment else str(folder / f"meeting.{size}.{len(list(folder.iterdir()))}")
    running = [subprocess.Popen([TOOL, str(rank), str(size), meeting, json.dumps(job)], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, "OMP_NUM_THREADS": "1", **(environment(rank) if environment else {})})
               for rank in range(size)]
    ended = [process.communicate(timeout=60) for process in running]
    return [process.returncode for process in running], [out for out, _ in ended], [error for _, error in ended]


def ring(folder, size, cases, environment=None):
    """Answers joined along the sequence, and the most bytes that a process held in each case."""
    save_file({f"{case['name']}/{key}": tensor.contiguous() for case in cases for key, tensor in case["tensors"].items()},
              folder / "input.safetensors")
    job = {"cases": [{key: value for key, value in case.items() if key != "tensors"} for case in cases],
           "input": str(folder / "input.safetensors"), "output": str(folder / "output")}
    codes, out, errors = processes(folder, size, job, environment)
    assert codes == [0] * size, errors
    shares = [load_file(folder / f"output.{rank}") for rank in range(size)]
    peaks = [json.loads(line) for line in out]
    return ({name: torch.cat([share[name] for share in shares], 2) for name in shares[0]},
            {case["name"]: max(peak[case["name"]] for peak in peaks) for case in cases})


def make(name, queries, keys=None, heads=(2, 2), widths=(5, 3), dtype=torch.float64, masked=False, **options):
    generator = torch.Generator().manual_seed(len(name))

    def normal(heads, length, width):
        return torch.randn(2, heads, length, width, generator=generator, dtype=torch.float64).to(dtype)

    keys = keys or queries
    N, M = sum(queries), sum(keys)
    tensors = {"q": normal(heads[0], N, widths[0]), "k": normal(heads[1], M, widths[0]),
               "v": normal(heads[1], M, widths[1]), "cotangent": normal(heads[0], N, widths[1])}
    if masked:
        mask = torch.rand(2, M, generator=generator) < 0.6
        mask[1, :keys[0]] = False
        tensors["mask"] = mask.to(torch.uint8)
        if masked == "nan":
            hidden = ~mask[:, None, :, None]
            tensors["k"] = tensors["k"].masked_fill(hidden, float("nan"))
            tensors["v"] = tensors["v"].masked_fill(hidden, float("inf"))
    return {"name": name, "queries": queries, "keys": keys, "masked": bool(masked), "tensors": tensors, **options}


def formula(case):
    """softmax(q·kᵀ/√d)·v over the whole sequence in fp64, its weights and gradients."""
    q, k, v = (case["tensors"][name].double() for name in "qkv")
    times = q.shape[1] // k.shape[1]
    allowed = torch.ones(q.shape[0], 1, q.shape[2], k.shape[2], dtype=torch.bool)
    if case["masked"]:
        mask = case["tensors"]["mask"].bool()
        k, v = (torch.where(mask[:, None, :, None], t, 0.0) for t in (k, v))
        allowed = allowed & mask[:, None, None, :]
    if case.get("causal"):
        allowed = allowed & torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
    q, k, v = (t.requires_grad_() for t in (q, k, v))
    scores = q @ k.repeat_interleave(times, 1).transpose(2, 3) * case.get("scale", q.shape[3] ** -0.5)
    exponentials = torch.where(allowed, torch.exp(scores), 0.0)
    sums = exponentials.sum(-1, keepdim=True)
    weights = exponentials / torch.where(sums > 0, sums, 1.0)
    output = weights @ v.repeat_interleave(times, 1)
    (output * case["tensors"]["cotangent"].double()).sum().backward()
    return {"output": output.detach(), "q": q.grad, "k": k.grad, "v": v.grad, "map": weights.detach()}


def error(a, b):
    assert a.shape == b.shape, (a.shape, b.shape)
    return ((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=0.1)).item()  # a single key has no gradient


def split(total, size):
    """Of uneven lengths."""
    lengths = [total // size + (1 if rank % 2 else -1) * (rank + 1) for rank in range(size)]
    return lengths[:-1] + [total - sum(lengths[:-1])]


def cases(size):
    even, uneven = [24 // size] * size, split(24, size)
    empty = [24] + [0] * (size - 1)
    return [make("even", even),
            make("uneven", uneven, scale=0.7),
            make("uneven causal", uneven, causal=True),
            make("causal, shared keys", uneven, heads=(4, 2), causal=True),
            make("cross, other lengths", uneven, list(reversed(split(30, size))), widths=(4, 4)),
            make("masked", uneven, masked=True),
            make("masked causal", uneven, masked=True, causal=True),
            make("NaN where masked", uneven, masked="nan"),
            make("all in the first process", empty, causal=True),
            make("no queries but in the first", empty, even),
            make("one token each", [1] * size),
            make("float32", uneven, dtype=torch.float32, widths=(16, 16), heads=(4, 1), causal=True),
            make("float16", uneven, dtype=torch.float16, widths=(16, 16)),
            make("bfloat16", uneven, dtype=torch.bfloat16, widths=(16, 16), causal=True),
            make("recorded", uneven, masked=True, causal=True, record=[]),
            make("row recorded", even, record=[1]),
            make("no gradients", uneven, causal=True, gradients=False)]


TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_outputs_and_gradients_are_those_of_one_process(tmp_path, size):
    todo = cases(size)
    answers, _ = ring(tmp_path, size, todo)
    for case in todo:
        expected, name = formula(case), case["name"]
        dtype = case["tensors"]["q"].dtype
        for what in ("output", "q", "k", "v") if case.get("gradients", True) else ("output",):
            assert answers[f"{name}/{what}"].dtype == dtype
            assert error(answers[f"{name}/{what}"], expected[what]) < TOLERANCE[dtype], (name, what)
    weights = formula(todo[-3])["map"]
    assert error(answers["recorded/map"], weights) < 1e-6
    rows = [1 + rank * (24 // size) for rank in range(size)]
    assert error(answers["row recorded/map"], formula(todo[-2])["map"][:, :, rows]) < 1e-6


def test_memory_falls_with_the_processes(tmp_path):
    """Counted: a process holds its share and two blocks, no scores."""
    N, heads, width = 2048, 2, 16
    peaks = {}
    for size in (1, 2, 4):
        case = make("long", [N // size] * size, heads=(heads, heads), widths=(width, width), dtype=torch.float32,
                    causal=True)
        peaks[size] = ring(tmp_path, size, [case])[1]["long"]
    assert peaks[1] < 2 * heads * N * N * 4 / 4  # a quarter of the scores
    assert peaks[2] < 0.75 * peaks[1] and peaks[4] < 0.6 * peaks[2], peaks


def test_launchers_variables(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    case = make("uneven causal", [5, 9], causal=True)

    def environment(rank):
        return {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}

    answers, _ = ring(tmp_path, 2, [case], environment)
    assert error(answers["uneven causal/output"], formula(case)["output"]) < 1e-12
    codes, _, errors = processes(tmp_path, 1, {}, lambda rank: {"RANK": "0", "WORLD_SIZE": "two", "MASTER_PORT": "1"})
    assert codes == [USAGE] and "WORLD_SIZE" in errors[0] and '"two"' in errors[0]
    codes, _, errors = processes(tmp_path, 1, {}, lambda rank: {"RANK": "0", "WORLD_SIZE": "1"})
    assert codes == [USAGE] and "MASTER_ADDR is not set" in errors[0]


def test_every_process_refuses_what_one_cannot_do(tmp_path):
    def refused(case, code, *texts, **more):
        save_file({f"{case['name']}/{key}": tensor for key, tensor in case["tensors"].items()}, tmp_path / "in.safetensors")
        job = {"cases": [{key: value for key, value in case.items() if key != "tensors"}], **more,
               "input": str(tmp_path / "in.safetensors"), "output": str(tmp_path / "out")}
        codes, _, errors = processes(tmp_path, 2, job)
        assert codes == [code, code], errors
        for message, expected in zip(errors, texts):
            assert expected in message and message.count("\n") == 1, message

    refused(make("narrower", [4, 4], odd=1, how="narrower"), DATA, "the arguments of process 1 are wrong",
            "expected q [B,H,N,d]")
    refused(make("causal cross", [4, 4], [4, 5], causal=True), DATA, "the arguments of process 1 are wrong",
            "causal with 4 queries and 5 keys")


def test_every_process_names_what_another_does_otherwise(tmp_path):
    def refused(how, *texts, **options):
        case = make(how, [4, 4], odd=1, how=how, **options)
        save_file({f"{how}/{key}": tensor for key, tensor in case.pop("tensors").items()}, tmp_path / "in.safetensors")
        job = {"cases": [case], "input": str(tmp_path / "in.safetensors"), "output": str(tmp_path / "out")}
        codes, _, errors = processes(tmp_path, 2, job)
        assert codes == [DATA, DATA], (how, errors)
        for rank, expected in enumerate(texts):
            assert f"ring_attention: process {rank} of 2: {expected}" in errors[rank]

    refused("batch", "batch is 2 here and 1 in process 1", "batch is 1 here and 2 in process 0")
    refused("causal", "causal is 0 here and 1 in process 1", "causal is 1 here and 0 in process 0")
    refused("mask", "key_mask is 0 here and 1 in process 1", "key_mask is 1 here and 0 in process 0")
    refused("type", "number type is 7 here and 6 in process 1", "number type is 6 here and 7 in process 0")
    refused("detached", "whether gradients are wanted is 1 here and 0 in process 1", "whether gradients are wanted is 0 here")


def test_what_there_is_no_way_to_do(tmp_path):
    def refused(text, answered, **options):
        case = make("odd", [4, 4], **options)
        save_file({f"odd/{key}": tensor for key, tensor in case.pop("tensors").items()}, tmp_path / "in.safetensors")
        job = {"cases": [case], "input": str(tmp_path / "in.safetensors"), "output": str(tmp_path / "out")}
        codes, _, errors = processes(tmp_path, 2, job)
        assert codes == answered and text in errors[1], errors

    refused("no gradients of gradients", [USAGE, USAGE], twice=True)
    refused("maps are recorded without gradients", [DATA, USAGE], odd=1, how="gradients")


def test_a_process_that_is_gone_is_noticed(tmp_path):
    case = make("gone", [4, 4, 4])
    save_file({f"gone/{key}": tensor for key, tensor in case.pop("tensors").items()}, tmp_path / "in.safetensors")
    job = {"cases": [case], "input": str(tmp_path / "in.safetensors"), "output": str(tmp_path / "out"), "leaves": 2,
           "timeout_ms": 10_000}
    codes, _, errors = processes(tmp_path, 3, job)
    assert codes == [IO, IO, 0], errors
    for rank in (0, 1):
        *logged, message = errors[rank].splitlines()
        assert f"process {rank} of 3: " in message, errors
        # One that still connects is told by LibTorch too, in its log.
        assert all("ProcessGroupGloo.cpp" in line for line in logged), errors


def test_processes_that_do_not_come(tmp_path):
    codes, _, errors = processes(tmp_path, 1, {"timeout_ms": 1000},
                                 lambda rank: {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                                               "MASTER_PORT": "9"})
    assert codes == [IO] and "make_gloo_group: process 1 of 2: " in errors[0].splitlines()[-1]
    codes, _, errors = processes(tmp_path, 1, {}, lambda rank: {"RANK": "3", "WORLD_SIZE": "2", "MASTER_ADDR": "a",
                                                                "MASTER_PORT": "9"})
    assert codes == [USAGE] and "rank 3" in errors[0]
