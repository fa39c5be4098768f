"""ViT-GPT2 and BLIP against transformers: folders written by save_pretrained, the same numbers and the same tokens.
Random configurations are compared in test_random_captioners.py."""
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from caption_tool import relative_error
from captioner_peers import blip, peer_sequences, pictures, save, vit_gpt2


@pytest.fixture(params=["vit-gpt2", "blip"])
def kind(request):
    return request.param


@pytest.fixture
def make(kind, gpt2_tokenizer, bert_tokenizer):
    """(seed, …) → the peer and its tokenizer."""
    build, tokenizer = (vit_gpt2, gpt2_tokenizer) if kind == "vit-gpt2" else (blip, bert_tokenizer)

    def made(seed=0, **options):
        if kind == "blip":
            options = {**options, "vocab_size": tokenizer.get_vocab_size(), "bos_token_id": tokenizer.token_to_id("[DEC]")}
        return build(tokenizer, seed, **options), tokenizer
    return made


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
    {"encoder": {"hidden_size": 48}}, {"tie_word_embeddings": False}, {"n_inner": 20, "layer_norm_epsilon": 1e-3},
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
    x = pictures(4, seed=5)
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
    ({"model_type": "git"}, 'model_type: "git" is no captioner; known are blip, fovea-captioner, vision-encoder-decoder'),
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
