"""A word of fovea's LSTM captioner against one of plain PyTorch with cached keys, on this machine: Show, Attend and Tell of
the published size with random weights, and the shipped captioner.

    lstm_speed.py [--decoders published,shipped] [--beams 1,5] [--dtypes float32,bfloat16] [--tokens 20] [--pairs 7]
                  [--threads 2] [--markdown FILE]

Every program alone in its process, alternated. Both read the image's places (encoding is left out on both sides) and write
exactly so many words; PyTorch decodes all beams as rows of a batch and picks the best words, without the rest of a beam
search. A ratio below 1 means that fovea is faster.
"""
import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from table import FOVEA, cells, options, print_table, ratio_row, run


class Sizes(NamedTuple):
    vocabulary: int
    places: int
    memory: int
    word: int
    state: int
    attention: int
    shipped: bool  # tanh scores and the paper's deep output


SIZES = {"published": Sizes(9490, 196, 2048, 512, 512, 512, False),  # of the sgrvinod tutorial's checkpoint for COCO
         "shipped": Sizes(645, 81, 192, 128, 256, 128, True)}  # fovea_lstm_scenes


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        import torchvision
        self.resnet = nn.Sequential(*list(torchvision.models.resnet101(weights=None).children())[:-2])
        self.adaptive_pool = nn.AdaptiveAvgPool2d((14, 14))


class Attention(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.encoder_att = nn.Linear(sizes.memory, sizes.attention)
        self.decoder_att = nn.Linear(sizes.state, sizes.attention)
        self.full_att = nn.Linear(sizes.attention, 1)
        self.score = nn.Tanh() if sizes.shipped else nn.ReLU()

    def forward(self, keys, memory, hidden):
        scores = self.full_att(self.score(keys + self.decoder_att(hidden)[:, None])).squeeze(2)
        return (memory * scores.softmax(1)[:, :, None]).sum(1)


class Decoder(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.attention = Attention(sizes)
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.word)
        self.decode_step = nn.LSTMCell(sizes.word + sizes.memory, sizes.state)
        self.init_h, self.init_c = nn.Linear(sizes.memory, sizes.state), nn.Linear(sizes.memory, sizes.state)
        self.f_beta, self.fc = nn.Linear(sizes.state, sizes.memory), nn.Linear(sizes.state, sizes.vocabulary)
        if sizes.shipped:
            self.fc_context = nn.Linear(sizes.memory, sizes.vocabulary, bias=False)

    def write(self, memory, beams, count):
        mean = memory.mean(1)
        keys = self.attention.encoder_att(memory).expand(beams, -1, -1)
        h, c = self.init_h(mean).expand(beams, -1), self.init_c(mean).expand(beams, -1)
        memory, word = memory.expand(beams, -1, -1), torch.full((beams,), 1)
        for _ in range(count):
            context = torch.sigmoid(self.f_beta(h)) * self.attention(keys, memory, h)
            h, c = self.decode_step(torch.cat([self.embedding(word), context], 1), (h, c))
            scores = self.fc(h)
            if hasattr(self, "fc_context"):
                scores = scores + self.fc_context(context)
            word = scores.log_softmax(1).argmax(1)
        return word


def save(folder):
    """As the tutorial leaves it."""
    torch.manual_seed(1)
    sizes = SIZES["published"]
    torch.save({"encoder": Encoder().eval(), "decoder": Decoder(sizes).eval()}, folder / "BEST_checkpoint_coco.pth.tar")
    words = ["<pad>", *(f"word{i}" for i in range(1, sizes.vocabulary - 3)), "<unk>", "<start>", "<end>"]
    (folder / "WORDMAP_coco.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))


def time_peer(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    dtype = getattr(torch, args.dtype)
    sizes = SIZES[args.decoders]
    decoder = Decoder(sizes).eval().to(dtype)
    memory = torch.rand(1, sizes.places, sizes.memory, dtype=dtype)
    times, start = [], time.perf_counter()
    with torch.inference_mode():
        while len(times) < 15 or (time.perf_counter() - start < 4 and len(times) < 200):
            before = time.perf_counter()
            decoder.write(memory, int(args.beams), args.tokens)
            times.append((time.perf_counter() - before) * 1e3 / args.tokens)
    print(statistics.median(times[3:]))


def rows(args, folder):
    models = {"published": folder, "shipped": "fovea_lstm_scenes"}
    save(folder)
    for decoder, dtype, beams in itertools.product(*(which.split(",") for which in (args.decoders, args.dtypes, args.beams))):
        common = ["--beams", beams, "--dtype", dtype, "--tokens", args.tokens, "--threads", args.threads]
        pairs = []
        for _ in range(args.pairs):
            ours = json.loads(run(FOVEA, "bench", "caption", "--model", models[decoder], *common, "--json"))
            peer = float(run(sys.executable, __file__, "--peer", "--decoders", decoder, *common))
            pairs.append(((ours["caption_ms"] - ours["encode_ms"]) / args.tokens, peer))
        yield cells(ratio_row(f"{decoder}, {dtype}, {'greedy' if beams == '1' else beams + ' beams'}", pairs), digits=3)


def main():
    parser = options(__doc__, pairs=7)
    parser.add_argument("--decoders", default="published,shipped")
    parser.add_argument("--beams", default="1,5")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--dtype", default="float32", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return time_peer(args)
    with tempfile.TemporaryDirectory() as folder:
        print_table(args, [f"{args.tokens} words"], ["case", "fovea ms a word", "PyTorch ms", "ratio (median)", "ratios"],
                    rows(args, Path(folder)))


if __name__ == "__main__":
    main()
