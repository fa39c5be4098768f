"""ViT-GPT2 and BLIP against transformers: folders written by save_pretrained, the same numbers and the same tokens.
FOVEA_CASES sets how many configurations of generation are compared."""
import json
import os
import random

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import peers
from caption_tool import Tool, relative_error

CASES = int(os.environ.get("FOVEA_CASES", "48"))
SIDE = 32


@pytest.fixture(scope="session")
def tool(tmp_path_factory):
    torch.set_num_threads(1)
    tool = Tool(tmp_path_factory.mktemp("jobs"))
    yield tool
    tool.close()


def randomised(model, seed):
    """Sharper than a fresh network, so that beams differ; every vector apart from its neutral start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.15 if parameter.dim() > 1 else 0.2
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


@pytest.fixture(scope="session")
def gpt2_tokenizer():
    return peers.gpt2(vocab_size=400)


@pytest.fixture(scope="session")
def bert_tokenizer():
    return peers.bert(vocab_size=3000)


def vit_gpt2(tokenizer, seed=0, encoder_width=32, **decoder):
    """As nlpconnect/vit-gpt2-image-captioning, small; every id of the tokenizer's end token."""
    end = tokenizer.token_to_id("<|endoftext|>")
    encoder = transformers.ViTConfig(hidden_size=encoder_width, num_hidden_layers=2, num_attention_heads=2,
                                     intermediate_size=48, image_size=SIDE, patch_size=8)
    settings = {"vocab_size": tokenizer.get_vocab_size(), "n_positions": 40, "n_embd": 32, "n_layer": 2, "n_head": 4,
                "bos_token_id": end, "eos_token_id": end}
    decoder = transformers.GPT2Config(**{**settings, **decoder})
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, decoder_start_token_id=end, pad_token_id=end, eos_token_id=end)
    model = transformers.VisionEncoderDecoderModel(config)
    for key in ("decoder_start_token_id", "pad_token_id", "eos_token_id", "bos_token_id"):
        setattr(model.generation_config, key, end)
    randomised(model, seed)
    with torch.no_grad():  # so that captions end now and then: the score of the end token lies among the best
        model.get_decoder().lm_head.weight[end] = 1.6 * model.get_decoder().transformer.ln_f.bias
    return model


def blip(tokenizer, seed=0, **text):
    size = tokenizer.get_vocab_size()
    config = transformers.BlipConfig(
        vision_config={"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48,
                       "image_size": SIDE, "patch_size": 16},
        text_config={"vocab_size": size + 2, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
                     "intermediate_size": 40, "max_position_embeddings": 40, "bos_token_id": size, "pad_token_id": 0,
                     "sep_token_id": tokenizer.token_to_id("[SEP]"), **text})
    model = randomised(transformers.BlipForConditionalGeneration(config), seed)
    with torch.no_grad():
        model.text_decoder.cls.predictions.bias[tokenizer.token_to_id("[SEP]")] = 2.5
    return model


def save(model, tokenizer, folder, saved="safetensors"):
    model.save_pretrained(folder, save_original_format=saved != "transformers 5")
    tokenizer.save(str(folder / "tokenizer.json"))
    if saved == "bin":
        torch.save(model.state_dict() if "blip" in model.config.model_type else load_file(folder / "model.safetensors"),
                   folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture(params=["vit-gpt2", "blip"])
def kind(request):
    return request.param


@pytest.fixture
def make(kind, gpt2_tokenizer, bert_tokenizer):
    """(seed, …) → the peer and its tokenizer."""
    build, tokenizer = (vit_gpt2, gpt2_tokenizer) if kind == "vit-gpt2" else (blip, bert_tokenizer)
    if kind == "blip" and tokenizer.token_to_id("[DEC]") is None:
        tokenizer.add_special_tokens(["[DEC]", "[ENC]"])

    def made(seed=0, **options):
        if kind == "blip":
            options = {**options, "vocab_size": tokenizer.get_vocab_size(), "bos_token_id": tokenizer.token_to_id("[DEC]")}
        return build(tokenizer, seed, **options), tokenizer
    return made


def pictures(count, seed=1):
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def memory_and_logits(model, x, tokens):
    with torch.no_grad():
        if model.config.model_type == "blip":
            output = model(pixel_values=x, input_ids=tokens)
            return output.image_embeds, output.logits
        output = model(pixel_values=x, decoder_input_ids=tokens)
        memory = output.encoder_last_hidden_state
        return (memory if not hasattr(model, "enc_to_dec_proj") else model.enc_to_dec_proj(memory)), output.logits


def check_numbers(tool, model, folder):
    x = pictures(2)
    size = (model.config.decoder if hasattr(model.config, "decoder") else model.config.text_config).vocab_size
    tokens = torch.randint(1, size, (2, 11), generator=torch.Generator().manual_seed(2))
    memory, logits = memory_and_logits(model, x, tokens)
    reply, found = tool.ask(folder, x, tokens)
    assert "error" not in reply, reply
    assert relative_error(found["memory"], memory) < 1e-4
    assert relative_error(found["logits"], logits) < 1e-4


@pytest.mark.parametrize("saved", ["safetensors", "transformers 5", "bin"])
def test_memory_and_logits(tool, make, tmp_path, saved):
    model, tokenizer = make(seed=3)
    check_numbers(tool, model, save(model, tokenizer, tmp_path, saved))


@pytest.mark.parametrize("options", [
    {"encoder_width": 48}, {"tie_word_embeddings": False}, {"n_inner": 20, "layer_norm_epsilon": 1e-3},
    {"activation_function": "gelu"},
])
def test_variants_of_vit_gpt2(tool, gpt2_tokenizer, tmp_path, options):
    model = vit_gpt2(gpt2_tokenizer, 4, **options)
    check_numbers(tool, model, save(model, gpt2_tokenizer, tmp_path))


def test_the_original_file_of_blip(tool, bert_tokenizer, tmp_path):
    """Salesforce's .pth: the image tower under timm's names, everything under "model"."""
    model = blip(bert_tokenizer, 5)
    names = {"embeddings.class_embedding": "cls_token", "embeddings.position_embedding": "pos_embed",
             "embeddings.patch_embedding": "patch_embed.proj", "encoder.layers": "blocks", "layer_norm": "norm",
             "self_attn.projection": "attn.proj", "self_attn": "attn", "post_layernorm": "norm"}
    state = {}
    for key, value in model.state_dict().items():
        if key.startswith("vision_model."):
            key = "visual_encoder." + key.removeprefix("vision_model.")
            for theirs, original in names.items():
                key = key.replace(theirs, original)
        state[key] = value
    save(model, bert_tokenizer, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"model": state}, tmp_path / "pytorch_model.bin")
    check_numbers(tool, model, tmp_path)


def random_options(rng):
    """Settings of transformers' generate, every one of them used in some."""
    beams = rng.choice([1, 1, 3, 3, 5, 5, 2])
    options = {"max_length": rng.choice([8, 12, 16, 20]), "num_beams": beams}
    if rng.random() < 0.4:
        options["repetition_penalty"] = rng.choice([1.1, 1.5, 0.8])
    if rng.random() < 0.4:
        options["no_repeat_ngram_size"] = rng.choice([1, 2, 3])
    if rng.random() < 0.4:
        options["min_length"] = rng.choice([3, 7, 10])
    if beams > 1:
        options["length_penalty"] = rng.choice([1.0, 1.0, 0.0, 2.0, -0.5])
        options["early_stopping"] = rng.choice([False, False, True, "never"])
        options["num_return_sequences"] = rng.choice([1, beams])
    return options


PROMPTS = ["", "", "a picture of", "the dog", "A  license,"]


def peer_sequences(model, tokenizer, x, prompt, options):
    """One list of token lists an image, without padding, and their scores."""
    words = tokenizer.encode(prompt, add_special_tokens=False).ids
    with torch.no_grad():
        settings = {**options, "return_dict_in_generate": True, "output_scores": True}
        if model.config.model_type == "blip":
            text = model.config.text_config
            ids = torch.tensor([[text.bos_token_id, *words, text.sep_token_id]] * len(x))
            output = model.generate(pixel_values=x, input_ids=ids, **settings)
            end, given = text.sep_token_id, 1 + len(words)
        else:
            end = model.generation_config.eos_token_id
            ids = torch.tensor([[end, *words]] * len(x))
            output = model.generate(pixel_values=x, decoder_input_ids=ids, **settings)
            given = 1 + len(words)
    sequences = []
    for sequence in output.sequences.tolist():
        made = sequence[given:]
        sequence = sequence[:given] + (made[:made.index(end) + 1] if end in made else made)
        sequences.append(sequence)
    scores = output.sequences_scores.tolist() if options["num_beams"] > 1 else [0.0] * len(sequences)
    count = options.get("num_return_sequences", 1)
    return ([sequences[i:i + count] for i in range(0, len(sequences), count)],
            [scores[i:i + count] for i in range(0, len(scores), count)])


def test_the_same_tokens(tool, make, kind, tmp_path):
    """Greedy and beams, with penalties, bans, lengths and prompts. A difference counts as a tie only where the scores of
    both lie within 1e-5; ties are listed and few."""
    rng = random.Random(kind)
    ties = []
    ended = 0
    for case in range(CASES):
        if case % 8 == 0:
            model, tokenizer = make(seed=100 + case)
            folder = tmp_path / str(case)
            folder.mkdir()
            save(model, tokenizer, folder)
        options, prompt = random_options(rng), rng.choice(PROMPTS)
        given = 1 + len(tokenizer.encode(prompt, add_special_tokens=False).ids)
        options["max_length"] += given
        x = pictures(rng.choice([1, 2]), seed=case)
        sequences, scores = peer_sequences(model, tokenizer, x, prompt, options)
        reply, _ = tool.ask(folder, x, generate=options, prompt=prompt)
        assert "error" not in reply, (options, reply)
        for image, (theirs, their_scores) in enumerate(zip(sequences, scores)):
            ours = reply["captions"][image]
            finished = [sequence for sequence in theirs if len(sequence) > given]  # an unfinished one has score −1e9
            assert len(ours) == len(finished)
            for rank, (one, expected) in enumerate(zip(ours, finished)):
                ended += len(expected) < options["max_length"]
                if one["tokens"] != expected:
                    assert abs(one["score"] - their_scores[rank]) < 1e-5, (case, options, prompt, one, expected)
                    ties.append((case, image, rank))
                elif options["num_beams"] > 1:
                    assert one["score"] == pytest.approx(their_scores[rank], rel=1e-4, abs=1e-4)
    print(f"{kind}: {CASES} configurations, ties {ties}")
    assert len(ties) <= CASES // 50
    assert ended > CASES // 4, "hardly any sequence reached its end token"


@pytest.mark.parametrize("options", [
    {"top_k": 0}, {"top_k": 5}, {"top_k": 0, "top_p": 0.7}, {"temperature": 0.6, "top_k": 40, "top_p": 0.9},
    {"temperature": 3.0, "top_k": 0, "repetition_penalty": 1.3},
])
def test_the_same_draws(tool, make, tmp_path, options):
    """Sampling is transformers' after torch.manual_seed, draw for draw."""
    model, tokenizer = make(seed=7)
    save(model, tokenizer, tmp_path)
    x = pictures(3)
    for seed in range(4):
        settings = {"do_sample": True, "num_beams": 1, "max_length": 14, "top_k": 50, **options}
        torch.manual_seed(seed)
        sequences, _ = peer_sequences(model, tokenizer, x, "", settings)
        reply, _ = tool.ask(tmp_path, x, generate={**settings, "seed": seed})
        assert [[one["tokens"] for one in image] for image in reply["captions"]] == sequences


def cross_attention(model, x, tokens):
    """The mean over layers and heads for each token: [n,M]."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        if model.config.model_type == "blip":
            memory = model.vision_model(x).last_hidden_state
            output = model.text_decoder(tokens, encoder_hidden_states=memory, output_attentions=True)
            maps = output.cross_attentions
        else:
            maps = model(pixel_values=x, decoder_input_ids=tokens, output_attentions=True).cross_attentions
    return torch.stack(maps).mean((0, 2))[0]


@pytest.mark.parametrize("beams", [1, 4])
def test_word_maps(tool, make, tmp_path, beams):
    """Of the tokens that survive the beam, each where its own row looked."""
    model, tokenizer = make(seed=9)
    save(model, tokenizer, tmp_path)
    x = pictures(2, seed=5)
    options = {"num_beams": beams, "num_return_sequences": beams, "min_length": 16, "max_length": 24}
    reply, heats = tool.ask(tmp_path, x, generate=options, prompt="a", maps=True)
    given = 1 + len(tokenizer.encode("a", add_special_tokens=False).ids)
    seen = 0
    for image, captions in enumerate(reply["captions"]):
        for rank, one in enumerate(captions):
            tokens = one["tokens"]
            rows = cross_attention(model, x[image:image + 1], torch.tensor([tokens[:-1]]))[given - 1:]
            side = round((rows.shape[1] - 1) ** 0.5)
            words, sums = [], []
            for token, row in zip(tokens[given:], rows):
                text = tokenizer.id_to_token(token)
                if text in ("<|endoftext|>", "[SEP]", "[PAD]", "[CLS]", "[UNK]", "[MASK]", "[DEC]", "[ENC]"):
                    continue
                begins = text.startswith("Ġ") if model.config.model_type != "blip" else not text.startswith("##")
                if begins or not words:
                    words.append([])
                    sums.append([])
                words[-1].append(token)
                sums[-1].append(row[1:].view(side, side))
            assert one["words"] == [tokenizer.decode(word).strip(" \n\t\r") for word in words]
            for index, word in enumerate(sums):
                expected = torch.stack(word).mean(0)
                assert (heats[f"heat/{image}/{rank}/{index}"] - expected).abs().max() < 1e-5
                seen += len(word)
    assert seen > 10


def test_prepared_weights(tool, make, tmp_path):
    model, tokenizer = make(seed=11)
    save(model, tokenizer, tmp_path)
    x = pictures(2)
    options = {"num_beams": 3, "max_length": 12}
    plain, _ = tool.ask(tmp_path, x, generate=options)
    packed, _ = tool.ask(tmp_path, x, generate=options, prepare=True)
    assert [[one["tokens"] for one in image] for image in packed["captions"]] == [
        [one["tokens"] for one in image] for image in plain["captions"]]


def changed(folder, **keys):
    """Keys "decoder.n_head" or "n_head" of config.json, taken out where the value is an ellipsis."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in keys.items():
        target, last = config, key
        if "__" in key:
            part, last = key.split("__")
            target = config[part]
        if value is ...:
            del target[last]
        else:
            target[last] = value
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("keys,cause", [
    ({"model_type": "git"}, 'model_type: "git" is no captioner; known are blip, vision-encoder-decoder'),
    ({"model_type": ...}, "model_type is missing"), ({"encoder": ...}, "encoder: expected an object"),
    ({"encoder__model_type": "swin"}, 'encoder: model_type: "swin" is not supported, only vit'),
    ({"decoder__model_type": "bert"}, 'decoder: model_type: "bert" is not supported, only gpt2'),
    ({"decoder__n_head": 5}, "dim 32 is not divisible by heads 5"), ({"decoder__n_layer": 0}, "n_layer: expected 1 to"),
    ({"decoder__n_layer": 3}, "missing: blocks.2."), ({"decoder__n_embd": "32"}, "n_embd: expected an integer, got string"),
    ({"decoder__vocab_size": 10}, "embed_tokens.weight: checkpoint [400,32], model [10,32]"),
    ({"decoder__activation_function": "swish"}, 'activation_function: "swish" is not supported'),
    ({"decoder__scale_attn_weights": False}, "scale_attn_weights: only true is supported"),
    ({"decoder__layer_norm_epsilon": -1}, "layer_norm_epsilon: expected 0 to 1"),
    ({"decoder__add_cross_attention": False}, "add_cross_attention: only true"),
])
def test_configurations_are_checked(tool, gpt2_tokenizer, tmp_path, keys, cause):
    save(vit_gpt2(gpt2_tokenizer), gpt2_tokenizer, tmp_path)
    changed(tmp_path, **keys)
    reply, _ = tool.ask(tmp_path, pictures(1), generate={})
    assert cause in reply["error"] and reply["code"] in (2, 3), reply


@pytest.mark.parametrize("options,cause", [
    ({"num_beams": 0}, "beams 0"), ({"num_beams": 2, "num_return_sequences": 3}, "n_best 3 exceeds beams 2"),
    ({"num_return_sequences": 2}, "needs beams or samples"), ({"top_p": 0.0}, "top_p 0 is not in"),
    ({"temperature": -1.0}, "must be positive"), ({"no_repeat_ngram_size": -1}, "must not be negative"),
    ({"max_length": 1}, "leaves none of max_length 1"),
])
def test_options_are_checked(tool, gpt2_tokenizer, tmp_path, options, cause):
    save(vit_gpt2(gpt2_tokenizer), gpt2_tokenizer, tmp_path)
    reply, _ = tool.ask(tmp_path, pictures(1), generate=options)
    assert cause in reply["error"], reply


def test_foreign_tensors_are_named(tool, gpt2_tokenizer, tmp_path):
    save(vit_gpt2(gpt2_tokenizer), gpt2_tokenizer, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    save_file({**state, "itm_head.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    reply, _ = tool.ask(tmp_path, pictures(1), generate={})
    assert reply["code"] == 3 and "1 unexpected: itm_head.weight" in reply["error"]
