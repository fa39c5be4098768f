"""The LSTM captioner against a plain PyTorch module with the sgrvinod tutorial's names, saved as the tutorial saves it:
one pickle of whole modules, and a word map beside it."""
import json

import pytest
import torch
import torchvision
from torch import nn

from caption_tool import relative_error

VOCABULARY = 30


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        resnet = torchvision.models.resnet18(weights=None)
        self.resnet = nn.Sequential(*list(resnet.children())[:-2])
        self.adaptive_pool = nn.AdaptiveAvgPool2d((14, 14))

    def forward(self, x):
        return self.adaptive_pool(self.resnet(x)).permute(0, 2, 3, 1).flatten(1, 2)


class Attention(nn.Module):
    def __init__(self, places, state, width):
        super().__init__()
        self.encoder_att, self.decoder_att, self.full_att = nn.Linear(places, width), nn.Linear(state, width), nn.Linear(width, 1)

    def forward(self, memory, hidden):
        scores = self.full_att(torch.relu(self.encoder_att(memory) + self.decoder_att(hidden)[:, None])).squeeze(2)
        weights = scores.softmax(1)
        return (memory * weights[:, :, None]).sum(1), weights


class Decoder(nn.Module):
    def __init__(self, places=512, words=12, state=20, width=16):
        super().__init__()
        self.attention = Attention(places, state, width)
        self.embedding = nn.Embedding(VOCABULARY, words)
        self.decode_step = nn.LSTMCell(words + places, state)
        self.init_h, self.init_c = nn.Linear(places, state), nn.Linear(places, state)
        self.f_beta, self.fc = nn.Linear(state, places), nn.Linear(state, VOCABULARY)

    def start(self, memory):
        mean = memory.mean(1)
        return self.init_h(mean), self.init_c(mean)

    def step(self, word, memory, h, c):
        context, weights = self.attention(memory, h)
        context = torch.sigmoid(self.f_beta(h)) * context
        h, c = self.decode_step(torch.cat([self.embedding(word), context], 1), (h, c))
        return self.fc(h), weights, h, c


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory):
    """A folder as the tutorial leaves it, and its modules."""
    torch.manual_seed(0)
    encoder, decoder = Encoder().eval(), Decoder().eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(2)
        for name, buffer in encoder.named_buffers():
            if name.endswith("running_var"):
                buffer.mul_(1.2)
    folder = tmp_path_factory.mktemp("tutorial")
    state = {"epoch": 3, "epochs_since_improvement": 0, "bleu-4": 0.2, "encoder": encoder, "decoder": decoder,
             "encoder_optimizer": None, "decoder_optimizer": torch.optim.Adam(decoder.parameters())}
    torch.save(state, folder / "BEST_checkpoint_coco_5_cap_per_img_5_min_word_freq.pth.tar",
               _use_new_zipfile_serialization=False)
    words = {"<pad>": 0, **{f"word{i}": i for i in range(1, VOCABULARY - 3)}, "<unk>": 27, "<start>": 28, "<end>": 29}
    (folder / "WORDMAP_coco_5_cap_per_img_5_min_word_freq.json").write_text(json.dumps(words))
    return folder, encoder, decoder


def pictures(count, seed=1):
    return torch.randn(count, 3, 96, 64, generator=torch.Generator().manual_seed(seed))


def test_memory_and_logits(tool, tutorial):
    folder, encoder, decoder = tutorial
    x, tokens = pictures(2), torch.randint(0, VOCABULARY, (2, 7), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        memory = encoder(x)
        h, c = decoder.start(memory)
        logits = []
        for word in tokens.unbind(1):
            scores, _, h, c = decoder.step(word, memory, h, c)
            logits.append(scores)
    reply, found = tool.ask(folder, x, tokens)
    assert "error" not in reply, reply
    assert relative_error(found["memory"], memory) < 1e-4
    assert relative_error(found["logits"], torch.stack(logits, 1)) < 1e-4


def greedy(encoder, decoder, x, steps):
    with torch.no_grad():
        memory = encoder(x)
        h, c = decoder.start(memory)
        tokens, maps = [28], []
        while len(tokens) < steps and tokens[-1] != 29:
            scores, weights, h, c = decoder.step(torch.tensor(tokens[-1:]), memory, h, c)
            tokens.append(scores.argmax(1).item())
            maps.append(weights[0].view(14, 14))
    return tokens, maps


def test_greedy_words_and_maps(tool, tutorial):
    folder, encoder, decoder = tutorial
    for seed in range(5):
        x = pictures(1, seed)
        tokens, maps = greedy(encoder, decoder, x, 12)
        reply, heats = tool.ask(folder, x, generate={"max_length": 12}, maps=True)
        (one,), = reply["captions"]
        assert one["tokens"] == tokens
        plain = [(token, heat) for token, heat in zip(tokens[1:], maps) if token not in (0, 28, 29)]
        assert len(one["words"]) == len(plain)
        for index, (_, heat) in enumerate(plain):
            assert (heats[f"heat/0/0/{index}"] - heat).abs().max() < 1e-5


def beam_score(decoder, memory, tokens):
    """Σ log p of a whole sequence."""
    with torch.no_grad():
        h, c = decoder.start(memory)
        total = 0.0
        for word, following in zip(tokens, tokens[1:]):
            scores, _, h, c = decoder.step(torch.tensor([word]), memory, h, c)
            total += scores.log_softmax(1)[0, following].item()
    return total


def test_beams_keep_their_own_states(tool, tutorial):
    """The score of each hypothesis is that of its tokens run alone, for both images of a batch."""
    folder, encoder, decoder = tutorial
    x = pictures(2, 9)
    options = {"num_beams": 4, "num_return_sequences": 4, "max_length": 9, "length_penalty": 0.0}
    reply, _ = tool.ask(folder, x, generate=options)
    with torch.no_grad():
        memory = encoder(x)
    for image, captions in enumerate(reply["captions"]):
        assert len(captions) == 4 and len({tuple(one["tokens"]) for one in captions}) == 4
        for one in captions:
            assert one["score"] == pytest.approx(beam_score(decoder, memory[image:image + 1], one["tokens"]), abs=1e-4)
        best, _ = greedy(encoder, decoder, x[image:image + 1], 9)
        assert captions[0]["score"] >= beam_score(decoder, memory[image:image + 1], best) - 1e-5


def test_prompts(tool, tutorial):
    folder, encoder, decoder = tutorial
    reply, _ = tool.ask(folder, pictures(1), generate={"max_length": 8}, prompt="Word3 word5")
    (one,), = reply["captions"]
    assert one["tokens"][:3] == [28, 3, 5] and one["text"].startswith("word3 word5")


@pytest.mark.parametrize("change,cause", [
    (lambda state, words: words.pop("<end>"), "has no <end>"),
    (lambda state, words: words.update({"<end>": 99}), "has no <end> of its 30 words"),
    (lambda state, words: state["encoder"].resnet[5].append(nn.Conv2d(1, 1, 1)), "unexpected"),
    (lambda state, words: state.pop("decoder"), "expected a matrix decoder.embedding.weight, got nothing"),
    (lambda state, words: setattr(state["encoder"], "resnet", state["encoder"].resnet[:6]), "no ResNet of"),
])
def test_what_does_not_fit_is_named(tool, tutorial, tmp_path, change, cause):
    folder, _, _ = tutorial
    source = next(folder.glob("*.pth.tar"))
    state = torch.load(source, weights_only=False)
    words = json.loads(next(folder.glob("WORDMAP*")).read_text())
    change(state, words)
    torch.save(state, tmp_path / source.name)
    (tmp_path / "WORDMAP_coco.json").write_text(json.dumps(words))
    reply, _ = tool.ask(tmp_path, pictures(1), generate={})
    assert reply["code"] == 3 and cause in reply["error"], reply
