"""Small captioners of transformers with random weights, and what they write."""
import torch
import transformers
from safetensors.torch import load_file

SIDE = 32  # of an image, pixels


def randomised(model, seed):
    """Sharper than a fresh network, so that beams differ; every vector apart from its neutral start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.15 if parameter.dim() > 1 else 0.2
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


def vit_gpt2(tokenizer, seed=0, encoder=None, **decoder):
    """As nlpconnect/vit-gpt2-image-captioning, small; every id of the tokenizer's end token."""
    end = tokenizer.token_to_id("<|endoftext|>")
    encoder = transformers.ViTConfig(**{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                                        "intermediate_size": 48, "image_size": SIDE, "patch_size": 8, **(encoder or {})})
    settings = {"vocab_size": tokenizer.get_vocab_size(), "n_positions": 40, "n_embd": 32, "n_layer": 2, "n_head": 4,
                "bos_token_id": end, "eos_token_id": end}
    decoder = transformers.GPT2Config(**{**settings, **decoder})
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder, decoder, decoder_start_token_id=end, pad_token_id=end, eos_token_id=end)
    torch.manual_seed(seed)
    model = transformers.VisionEncoderDecoderModel(config)
    for key in ("decoder_start_token_id", "pad_token_id", "eos_token_id", "bos_token_id"):
        setattr(model.generation_config, key, end)
    randomised(model, seed)
    with torch.no_grad():  # so that captions end now and then: the score of the end token lies among the best
        model.get_decoder().lm_head.weight[end] = 2.2 * model.get_decoder().transformer.ln_f.bias
    return model


def blip(tokenizer, seed=0, vision=None, **text):
    size = tokenizer.get_vocab_size()
    config = transformers.BlipConfig(
        vision_config={"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48,
                       "image_size": SIDE, "patch_size": 16, **(vision or {})},
        text_config={"vocab_size": size + 2, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
                     "intermediate_size": 40, "max_position_embeddings": 40, "bos_token_id": size, "pad_token_id": 0,
                     "sep_token_id": tokenizer.token_to_id("[SEP]"), **text})
    torch.manual_seed(seed)
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


def pictures(count, seed=1, side=SIDE):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


class Shaken:
    """A logits processor of generate: every score off by at most `most`."""

    def __init__(self, seed, most):
        self.generator, self.most = torch.Generator().manual_seed(seed), most

    def __call__(self, ids, scores):
        return scores + self.most * (2 * torch.rand(scores.shape, generator=self.generator) - 1)


def peer_sequences(model, tokenizer, x, prompt, options, processors=()):
    """One list of token lists an image, without padding, and their scores."""
    words = tokenizer.encode(prompt, add_special_tokens=False).ids
    with torch.no_grad():
        settings = {**options, "return_dict_in_generate": True, "output_scores": True,
                    "logits_processor": transformers.LogitsProcessorList(processors)}
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
