"""Times a timm model in PyTorch eager the way `fovea bench model` times ours, and prints the same JSON."""
import argparse
import json
import statistics
import time


def build(name):
    import timm
    from timm.models.resnet import Bottleneck, ResNet
    if name == "cbamresnet50":
        return ResNet(Bottleneck, [3, 4, 6, 3], block_args=dict(attn_layer="cbam"))
    return timm.create_model(name, pretrained=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", action="store_true", help="write random weights to --weights and stop")
    args = parser.parse_args()
    import torch
    from safetensors.torch import load_file, save_file
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = build(args.model).eval()
    if args.save:
        save_file(model.state_dict(), args.weights)
        return
    model.load_state_dict(load_file(args.weights))
    model.to(getattr(torch, args.dtype))
    x = torch.randn(args.batch, 3, 224, 224, dtype=getattr(torch, args.dtype))
    times = []
    with torch.inference_mode():
        for _ in range(4):
            model(x)
        start = time.perf_counter()
        while len(times) < 15 or (time.perf_counter() - start < 3 and len(times) < 500):
            before = time.perf_counter()
            model(x)
            times.append((time.perf_counter() - before) * 1e3 / args.batch)
    print(json.dumps({"milliseconds_per_image": statistics.median(times)}))


if __name__ == "__main__":
    main()
