"""A folder of a small ViT-GPT2 with random weights, as transformers writes it."""
import json

import torch
import transformers

import peers

SIDE = 48


def save(folder, wordy=False):
    """Returns the peer and its tokenizer. `wordy`: captions are as long as they may be, each token a word of its own."""
    tokenizer = peers.gpt2(vocab_size=500)
    end = tokenizer.token_to_id("<|endoftext|>")
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
                               image_size=SIDE, patch_size=8),
        transformers.GPT2Config(vocab_size=500, n_positions=40, n_embd=32, n_layer=2, n_head=4, bos_token_id=end,
                                eos_token_id=end), decoder_start_token_id=end, pad_token_id=end, eos_token_id=end)
    torch.manual_seed(0)
    model = transformers.VisionEncoderDecoderModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
        bias = model.decoder.transformer.ln_f.bias
        if wordy:
            words = [index for token, index in tokenizer.get_vocab().items() if token.startswith("Ġ")]
            bias *= 8 / bias.norm()  # all hidden states now point along it
            model.decoder.lm_head.weight[words] += bias / 8
            model.decoder.lm_head.weight[end] -= bias
        else:
            model.decoder.lm_head.weight[end] = 1.6 * bias  # captions end now and then
    for key in ("decoder_start_token_id", "pad_token_id", "eos_token_id", "bos_token_id"):
        setattr(model.generation_config, key, end)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    processor = {"size": {"height": SIDE, "width": SIDE}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model, tokenizer
