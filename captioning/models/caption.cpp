#include "fovea/captioning/models/caption.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \n\t\r");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \n\t\r") + 1 - first);
}

// What the layers that look at the image attended to in one step: [R,M], the mean of layers and heads.
at::Tensor step_map(const std::vector<AttentionMap>& maps, int64_t rows) {
  at::Tensor sum;
  for (const AttentionMap& map : maps) {
    const auto heads = map.weights.mean(1).flatten(0, 1);  // [B,H,q,M] → [R·n,M]
    const auto newest = heads.view({rows, -1, heads.size(1)}).select(1, -1);
    sum = sum.defined() ? sum + newest : newest;
  }
  require(sum.defined(), ErrorKind::internal, "caption: no layer that looks at the image was recorded");
  return sum / static_cast<double>(maps.size());
}

class WordMaps {
 public:
  WordMaps(const LoadedCaptioner& captioner, const TokenGrid& grid) : captioner_(captioner), grid_(grid) {}

  std::vector<at::Tensor> steps;  // [R,M] of each

  std::vector<CaptionWord> words(const Generated& generated) const {
    const Tokenizer& tokenizer = *captioner_.tokenizer;
    const size_t given = generated.tokens.size() - generated.rows.size();
    std::vector<CaptionWord> words;
    std::vector<int64_t> ids;
    at::Tensor sum;
    const auto finish = [&] {
      if (ids.empty()) return;
      words.push_back({trimmed(tokenizer.decode(ids)), sum / static_cast<double>(ids.size())});
      ids.clear();
    };
    for (size_t i = 0; i < generated.rows.size(); ++i) {
      const int64_t token = generated.tokens[given + i];
      if (tokenizer.is_special(token) || token == captioner_.tokens.end) continue;
      if (tokenizer.begins_word(token)) finish();
      const auto heat = steps.at(i)[generated.rows[i]].slice(0, grid_.prefix).view({grid_.height, grid_.width});
      sum = ids.empty() ? heat : sum + heat;
      ids.push_back(token);
    }
    finish();
    return words;
  }

 private:
  const LoadedCaptioner& captioner_;
  TokenGrid grid_;
};

}  // namespace

at::Tensor prompt_tokens(const LoadedCaptioner& captioner, const std::string& prompt) {
  std::vector<int64_t> ids = {captioner.tokens.start};
  const std::vector<int64_t> words = captioner.tokenizer->encode(prompt, /*special=*/false);
  ids.insert(ids.end(), words.begin(), words.end());
  return at::tensor(ids, at::kLong).unsqueeze(0);
}

std::vector<std::vector<Caption>> caption(const LoadedCaptioner& captioner, const at::Tensor& x,
                                          const CaptionOptions& options) {
  Captioner& model = *captioner.model;
  return caption_memory(captioner, model.encode(x), model.grid(x.size(2), x.size(3)), options);
}

std::vector<std::vector<Caption>> caption_memory(const LoadedCaptioner& captioner, const at::Tensor& memory,
                                                 const TokenGrid& grid, const CaptionOptions& options) {
  Captioner& model = *captioner.model;
  const auto prompt = prompt_tokens(captioner, options.prompt).repeat({memory.size(0), 1});
  GenerationOptions generation = options.generation;
  if (generation.max_length == 0) generation.max_length = prompt.size(1) + captioner.usual.new_tokens;
  if (model.longest() > 0) generation.max_length = std::min(generation.max_length, model.longest());
  generation.end_token = captioner.tokens.end;
  generation.pad_token = captioner.tokens.pad;

  const auto state = model.start(memory);
  WordMaps maps(captioner, grid);
  const StepFunction step = [&](const StepInput& input) {
    if (!options.maps) return model.step(*state, input);
    const AttentionRecorder recorder(model.module(), {.layers = model.map_layers()});
    const auto logits = model.step(*state, input);
    maps.steps.push_back(step_map(recorder.maps(), input.tokens.size(0)).to(at::kCPU, at::kFloat));
    return logits;
  };

  std::vector<std::vector<Caption>> result;
  for (const auto& hypotheses : generate(step, prompt, generation)) {
    std::vector<Caption>& captions = result.emplace_back();
    for (const Generated& generated : hypotheses) {
      captions.push_back({generated, trimmed(captioner.tokenizer->decode(generated.tokens)), {}});
      if (options.maps) captions.back().words = maps.words(generated);
    }
  }
  return result;
}

}  // namespace fovea
