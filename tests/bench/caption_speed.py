"""A ViT-GPT2 of the published size with random weights: fovea against transformers with its cache, on this machine.

    caption_speed.py [--beams 1,4] [--dtypes float32,bfloat16] [--tokens 20] [--pairs 5] [--threads 2] [--markdown FILE]

Every program alone in its process, alternated; medians of pairwise ratios. Both encode the image and write exactly so
many tokens. A ratio is fovea's tokens a second over transformers'. A step is a token after the first, which waits for the
image; its bound is the time to read the decoder's weights once at the memory bandwidth measured right before and after
(the mean of both, each the best of many sums over 1 GiB with as many threads). A share belongs to one run.
"""
import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from table import FOVEA, options, print_table, run

MODES = ["save", "time", "bandwidth"]


def published(folder):
    """12 + 12 layers of width 768, GPT-2's vocabulary, as nlpconnect/vit-gpt2-image-captioning."""
    import torch
    import transformers
    torch.manual_seed(1)
    end = 50256
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(), transformers.GPT2Config(), decoder_start_token_id=end, pad_token_id=end,
        eos_token_id=end)
    model = transformers.VisionEncoderDecoderModel(config)
    for key in ("decoder_start_token_id", "pad_token_id", "eos_token_id", "bos_token_id"):
        setattr(model.generation_config, key, end)
    model.save_pretrained(folder)
    words = {f"word{index}": index for index in range(end)}
    (folder / "vocab.json").write_text(json.dumps({**words, "<unk>": end}))


def step_weights(folder):
    """How many numbers of the decoder a step reads: everything but positions and the image's keys and values."""
    from safetensors import safe_open
    total = 0
    with safe_open(folder / "model.safetensors", "pt") as file:
        for key in file.keys():
            if key.startswith("decoder.") and ".wpe." not in key and ".crossattention.c_attn." not in key:
                count = 1
                for side in file.get_slice(key).get_shape():
                    count *= side
                total += count
    return total


def time_peer(args):
    import torch
    import transformers
    torch.set_num_threads(args.threads)
    dtype = getattr(torch, args.dtype)
    model = transformers.VisionEncoderDecoderModel.from_pretrained(args.folder, dtype=dtype).eval()
    x = torch.randn(1, 3, 224, 224, dtype=dtype)
    times = []
    start = time.perf_counter()
    with torch.inference_mode():
        while len(times) < 9 or (time.perf_counter() - start < 6 and len(times) < 200):
            before = time.perf_counter()
            found = model.generate(pixel_values=x, num_beams=args.beams, do_sample=False, use_cache=True,
                                   min_new_tokens=args.tokens, max_new_tokens=args.tokens)
            times.append((time.perf_counter() - before) * 1e3)
            assert found.shape[1] == args.tokens + 1
    print(json.dumps({"caption_ms": statistics.median(times[2:])}))


def time_memory(args):
    import torch
    torch.set_num_threads(args.threads)
    x = torch.ones(1 << 28)
    best = float("inf")
    for _ in range(30):
        before = time.perf_counter()
        x.sum()
        best = min(best, time.perf_counter() - before)
    print(json.dumps({"bytes_per_second": x.numel() * 4 / best}))


def bandwidth(me):
    return json.loads(run(*me, "--mode", "bandwidth"))["bytes_per_second"]


def rows(args, folder):
    me = [sys.executable, __file__, "--threads", args.threads]
    run(*me, "--mode", "save", "--folder", folder)
    weights = step_weights(folder)
    for dtype in args.dtypes.split(","):
        for beams in args.beams.split(","):
            common = ["--beams", beams, "--dtype", dtype, "--tokens", args.tokens]
            pairs, bandwidths, bounds = [], [], []
            for _ in range(args.pairs):
                before = bandwidth(me)
                ours = json.loads(run(FOVEA, "bench", "caption", "--model", folder, *common, "--threads", args.threads,
                                      "--json"))
                bandwidths.append((before + bandwidth(me)) / 2)
                bounds.append(weights * (4 if dtype == "float32" else 2) / bandwidths[-1] * 1e3)
                peer = json.loads(run(*me, "--mode", "time", "--folder", folder, *common))
                pairs.append((ours, peer))
            ratios = sorted(peer["caption_ms"] / ours["caption_ms"] for ours, peer in pairs)
            steps = [ours["milliseconds_per_step"] for ours, _ in pairs]
            shares = sorted(bound / step for bound, step in zip(bounds, steps))
            speed = statistics.median(ours["tokens_per_second"] for ours, _ in pairs)
            peer_speed = statistics.median(1e3 * args.tokens / peer["caption_ms"] for _, peer in pairs)
            yield [f"{dtype}, {'greedy' if beams == '1' else beams + ' beams'}", f"{speed:.1f}", f"{peer_speed:.1f}",
                   f"{statistics.median(ratios):.2f}", f"{ratios[0]:.2f}–{ratios[-1]:.2f}", f"{statistics.median(steps):.2f}",
                   f"{statistics.median(bounds):.2f}", f"{statistics.median(shares):.0%}",
                   f"{shares[0]:.0%}–{shares[-1]:.0%}", f"{min(bandwidths) / 1e9:.0f}–{max(bandwidths) / 1e9:.0f}"]


def main():
    parser = options(__doc__, pairs=5)
    parser.add_argument("--beams", default="1,4")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--dtype", default="float32", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.mode == "save":
        return published(args.folder)
    if args.mode == "bandwidth":
        return time_memory(args)
    if args.mode == "time":
        args.beams = int(args.beams)
        return time_peer(args)
    with tempfile.TemporaryDirectory() as folder:
        print_table(args, [f"{args.tokens} new tokens"],
                    ["case", "fovea tokens/s", "transformers tokens/s", "ratio (median)", "ratios", "step ms", "bound ms",
                     "share of the bound (median)", "shares", "memory GB/s"], rows(args, Path(folder)))


if __name__ == "__main__":
    main()
