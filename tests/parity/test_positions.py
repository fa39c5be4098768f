"""Places under attention against the code of published networks: outputs and gradients."""
import pytest
import torch
from timm.layers.pos_embed_sincos import RotaryEmbeddingCat, apply_rot_embed_cat
from torch import nn
from transformers import LlamaConfig, T5Config
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb as turn_adjacent
from transformers.models.gptj.modeling_gptj import create_sinusoidal_positions
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding
from transformers.models.t5.modeling_t5 import T5Attention

from harness import images, peer_gradients, relative_error

HEADS, TOKENS, WIDTH = 3, 13, 16  # 1 token of prefix and a grid of 3 by 4


def attend(q, k, v, bias=0.0, causal=False, scale=WIDTH ** -0.5):
    scores = q @ k.transpose(-2, -1) * scale + bias
    if causal:
        scores = scores.masked_fill(torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1), -torch.inf)
    return scores.softmax(-1) @ v


class Llama(nn.Module):
    def forward(self, x):
        config = LlamaConfig(hidden_size=HEADS * WIDTH, num_attention_heads=HEADS)
        cos, sin = LlamaRotaryEmbedding(config)(x, torch.arange(TOKENS)[None])
        q, k = apply_rotary_pos_emb(x[0], x[1], cos, sin)
        return attend(q, k, x[2])


class GptJ(nn.Module):
    def forward(self, x):
        sin, cos = create_sinusoidal_positions(TOKENS, WIDTH)[None].to(x.dtype).chunk(2, -1)
        q, k = (turn_adjacent(t.transpose(1, 2), sin, cos).transpose(1, 2) for t in x[:2])
        return attend(q, k, x[2])


class TimmGrid(nn.Module):
    """EVA's: the tokens before the grid stay as they are."""

    def forward(self, x):
        table = RotaryEmbeddingCat(WIDTH, in_pixels=False, feat_shape=[3, 4]).get_embed().to(x.dtype)
        q, k = (torch.cat([t[:, :, :1], apply_rot_embed_cat(t[:, :, 1:], table)], dim=2) for t in x[:2])
        return attend(q, k, x[2])


class Bloom(nn.Module):
    """Its bias grows with the key alone: under a causal softmax that is the distance."""

    def forward(self, x):
        alibi = build_alibi_tensor(torch.ones(1, TOKENS), HEADS, x.dtype)
        return attend(*x, bias=alibi[None], causal=True)


class T5(nn.Module):
    def __init__(self, decoder):
        super().__init__()
        config = T5Config(d_model=HEADS * WIDTH, d_kv=WIDTH, num_heads=HEADS, relative_attention_max_distance=20,
                          is_decoder=decoder)
        attention = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
        self.bias = attention.compute_bias
        self.weight = attention.relative_attention_bias.weight
        nn.init.normal_(self.weight)
        self.causal = decoder

    def forward(self, x):
        return attend(*x, bias=self.bias(TOKENS, TOKENS), causal=self.causal, scale=1.0)


def position(encoding, **options):
    return {"kind": "position", "encoding": encoding, **options}


CASES = {
    "llama": (position("rotary"), Llama),
    "gpt-j": (position("rotary", adjacent=True), GptJ),
    "timm's grid": (position("rotary", adjacent=True, dimensions=2, height=3, width=4, prefix=1), TimmGrid),
    "bloom": (position("alibi", heads=HEADS, causal=True), Bloom),
    "t5 encoder": (position("buckets", heads=HEADS, max_distance=20, bidirectional=True, scale=1.0), lambda: T5(False)),
    "t5 decoder": (position("buckets", heads=HEADS, max_distance=20, bidirectional=False, causal=True, scale=1.0),
                   lambda: T5(True)),
}


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients(tool, case):
    subject, make = CASES[case]
    torch.manual_seed(0)
    model = make().double()
    x, cotangent = images(3, 2, HEADS, TOKENS, WIDTH).double(), images(2, HEADS, TOKENS, WIDTH, seed=2).double()
    state = model.state_dict() or None
    layout = {"layout": "timm"} if state else {}
    ours = tool.run(subject, state, x, cotangent, want=["gradients"], dtype="float64", **layout)
    # The peers make sines and slopes in float32.
    with torch.no_grad():
        assert relative_error(ours["output"], model(x)) < 1e-6
    expected = peer_gradients(model, x, cotangent)
    assert {key for key in ours if key.startswith("gradient/")} == {f"gradient/{key}" for key in expected}
    for name, gradient in expected.items():
        assert relative_error(ours[f"gradient/{name}"], gradient) < 1e-6, name


def test_sinusoids_of_marian(tool):
    table = MarianSinusoidalPositionalEmbedding(TOKENS, WIDTH).create_weight()
    ours = tool.run(position("sinusoidal", halves=True), None, torch.zeros(1, TOKENS, WIDTH))["output"][0]
    assert relative_error(ours, table) < 1e-6
    both = tool.run(position("sinusoidal"), None, torch.zeros(1, TOKENS, WIDTH))["output"][0]
    assert relative_error(both, torch.stack(table.chunk(2, -1), dim=-1).flatten(1)) < 1e-6
