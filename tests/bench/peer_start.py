"""One photograph through ONNX Runtime: from the start of the process to the labels. With --export, writes the model."""
import argparse


def export(args):
    import timm
    import torch
    from safetensors.torch import load_file
    model = timm.create_model("vit_base_patch16_224", pretrained=False).eval()
    model.load_state_dict(load_file(args.weights))
    torch.onnx.export(model, torch.randn(1, 3, 224, 224), args.onnx, dynamo=False, opset_version=17,
                      input_names=["input"], output_names=["logits"])


def classify(args):
    import numpy as np
    import onnxruntime
    from PIL import Image
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
    picture = Image.open(args.photo).convert("RGB")
    scale = 248 / min(picture.size)
    picture = picture.resize([int(side * scale) for side in picture.size], Image.BICUBIC)
    left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), dtype=np.float32) / 255
    logits = session.run(None, {"input": ((pixels - 0.5) / 0.5).transpose(2, 0, 1)[None]})[0][0]
    scores = np.exp(logits - logits.max())
    for index in np.argsort(-scores)[:5]:
        print(index, scores[index] / scores.sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", action="store_true")
    parser.add_argument("--weights")
    parser.add_argument("--onnx", required=True)
    parser.add_argument("--photo")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    (export if args.export else classify)(args)


if __name__ == "__main__":
    main()
