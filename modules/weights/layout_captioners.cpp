// Parts of captioners: transformers' text decoders, under the keys of our TextDecoder, the image tower of BLIP, and the
// ResNet of the sgrvinod tutorial.
#include "fovea/modules/weights/layout_parts.h"

namespace fovea {
namespace {

constexpr TensorPart kKeyOfTwo = {.index = 0, .count = 2};
constexpr TensorPart kValueOfTwo = {.index = 1, .count = 2};

// GPT-2's Conv1D computes x·W + b: its weights are [in,out].
at::Tensor transposed(const at::Tensor& tensor) {
  return tensor.dim() == 2 ? tensor.t() : tensor;
}
constexpr TensorChange kConv1d = {.read = transposed, .write = transposed};

}  // namespace

const Layout kLayoutHuggingFaceGpt2 = {
    .name = "huggingface-gpt2",
    .markers = {"~h.0.attn.c_attn.weight"},
    .rows =
        {
            // Causal masks of before transformers 4.
            {"~h.#.attn.bias", ""},
            {"~h.#.attn.masked_bias", ""},
            {"~h.#.crossattention.bias", ""},
            {"~h.#.crossattention.masked_bias", ""},
            {"~wte.weight", "embed_tokens.weight"},
            {"~wpe.weight", "embed_positions"},
            {"~h.#.ln_1.*", "blocks.#.norm1.*"},
            {"~h.#.attn.c_attn.*", "blocks.#.self_attn.qkv.*", &kConv1d},
            {"~h.#.attn.c_proj.*", "blocks.#.self_attn.proj.*", &kConv1d},
            {"~h.#.ln_cross_attn.*", "blocks.#.norm_cross.*"},
            {"~h.#.crossattention.q_attn.*", "blocks.#.cross_attn.q.*", &kConv1d},
            {"~h.#.crossattention.c_attn.*", "blocks.#.cross_attn.kv.*", &kConv1d},
            {"~h.#.crossattention.c_proj.*", "blocks.#.cross_attn.proj.*", &kConv1d},
            {"~h.#.ln_2.*", "blocks.#.norm2.*"},
            {"~h.#.mlp.c_fc.*", "blocks.#.mlp.fc1.*", &kConv1d},
            {"~h.#.mlp.c_proj.*", "blocks.#.mlp.fc2.*", &kConv1d},
            {"~ln_f.*", "norm.*"},
            {"lm_head.weight", "head.weight"},
        },
    .base = "transformer.",
};

const Layout kLayoutHuggingFaceBlipText = {
    .name = "huggingface-blip-text",
    .markers = {"~encoder.layer.0.crossattention.self.query.weight"},
    .rows =
        {
            {"~embeddings.position_ids", ""},
            {"~embeddings.word_embeddings.weight", "embed_tokens.weight"},
            {"~embeddings.position_embeddings.weight", "embed_positions"},
            {"~embeddings.LayerNorm.*", "embed_norm.*"},
            {"~encoder.layer.#.attention.self.query.*", "blocks.#.self_attn.qkv.*", nullptr, {}, kQuery},
            {"~encoder.layer.#.attention.self.key.*", "blocks.#.self_attn.qkv.*", nullptr, {}, kKey},
            {"~encoder.layer.#.attention.self.value.*", "blocks.#.self_attn.qkv.*", nullptr, {}, kValue},
            {"~encoder.layer.#.attention.output.dense.*", "blocks.#.self_attn.proj.*"},
            {"~encoder.layer.#.attention.output.LayerNorm.*", "blocks.#.norm1.*"},
            {"~encoder.layer.#.crossattention.self.query.*", "blocks.#.cross_attn.q.*"},
            {"~encoder.layer.#.crossattention.self.key.*", "blocks.#.cross_attn.kv.*", nullptr, {}, kKeyOfTwo},
            {"~encoder.layer.#.crossattention.self.value.*", "blocks.#.cross_attn.kv.*", nullptr, {}, kValueOfTwo},
            {"~encoder.layer.#.crossattention.output.dense.*", "blocks.#.cross_attn.proj.*"},
            {"~encoder.layer.#.crossattention.output.LayerNorm.*", "blocks.#.norm_cross.*"},
            {"~encoder.layer.#.intermediate.dense.*", "blocks.#.mlp.fc1.*"},
            {"~encoder.layer.#.output.dense.*", "blocks.#.mlp.fc2.*"},
            {"~encoder.layer.#.output.LayerNorm.*", "blocks.#.norm2.*"},
            {"cls.predictions.transform.dense.*", "head_transform.*"},
            {"cls.predictions.transform.LayerNorm.*", "head_norm.*"},
            {"cls.predictions.bias", "head_bias"},
        },
    .base = "bert.",
};

const Layout kLayoutHuggingFaceBlipVision = {
    .name = "huggingface-blip-vision",
    .markers = {"encoder.layers.0.self_attn.projection.weight"},
    .rows =
        {
            {"embeddings.position_ids", ""},
            {"embeddings.class_embedding", "cls_token"},
            {"embeddings.position_embedding", "pos_embed"},
            {"embeddings.patch_embedding.*", "patch_embed.proj.*"},
            {"encoder.layers.#.layer_norm1.*", "blocks.#.norm1.*"},
            {"encoder.layers.#.self_attn.qkv.*", "blocks.#.attn.qkv.*"},
            {"encoder.layers.#.self_attn.projection.*", "blocks.#.attn.proj.*"},
            {"encoder.layers.#.layer_norm2.*", "blocks.#.norm2.*"},
            {"encoder.layers.#.mlp.*", "blocks.#.mlp.*"},
            {"post_layernorm.*", "norm.*"},
        },
    .resampling = TableResampling::plain,
};

// torchvision's ResNet in a Sequential without its classifier.
const Layout kLayoutTutorialResNet = {
    .name = "sgrvinod-resnet",
    .markers = {"resnet.4.0.conv1.weight"},
    .rows =
        {
            {"resnet.0.*", "conv1.*"},
            {"resnet.1.*", "bn1.*"},
            {"resnet.4.*", "layer1.*"},
            {"resnet.5.*", "layer2.*"},
            {"resnet.6.*", "layer3.*"},
            {"resnet.7.*", "layer4.*"},
        },
};

}  // namespace fovea
