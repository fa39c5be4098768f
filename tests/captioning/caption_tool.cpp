// Read by the tests in Python: one JSON job a line, one JSON answer a line.
//
//     {"folder", "input": safetensors with "x" and for teacher forcing "tokens", "output": safetensors}
//         → "memory" and "logits" in the output
//     {"folder", "input", "generate": {options}, "prompt", "maps": true}
//         → {"captions": [[{"tokens", "score", "rows", "text", "words"}]]}, heats "heat/IMAGE/RANK/WORD" in the output
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "fovea/captioning/models/caption.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"
#include "fovea/modules/weights/state_dict.h"

namespace fovea {
namespace {

using nlohmann::json;

GenerationOptions options_of(const json& job) {
  GenerationOptions o{.max_length = 0};
  const auto read = [&](const char* key, auto& value) {
    if (job.contains(key)) value = job[key].get<std::decay_t<decltype(value)>>();
  };
  read("max_length", o.max_length);
  read("min_length", o.min_length);
  read("num_beams", o.beams);
  read("num_return_sequences", o.n_best);
  read("length_penalty", o.length_penalty);
  read("repetition_penalty", o.repetition_penalty);
  read("no_repeat_ngram_size", o.no_repeat_ngram);
  read("do_sample", o.sample);
  read("temperature", o.temperature);
  read("top_k", o.top_k);
  read("top_p", o.top_p);
  read("seed", o.seed);
  if (job.contains("early_stopping")) {
    const json& when = job["early_stopping"];
    o.early_stopping = when.is_string()   ? EarlyStopping::never
                       : when.get<bool>() ? EarlyStopping::when_full
                                          : EarlyStopping::heuristic;
  }
  return o;
}

json captions_of(const LoadedCaptioner& captioner, const at::Tensor& x, const json& job,
                 std::vector<NamedTensor>& outputs) {
  const CaptionOptions options = {
      .generation = options_of(job["generate"]), .prompt = job.value("prompt", ""), .maps = job.value("maps", false)};
  json images = json::array();
  for (const auto& hypotheses : caption(captioner, x, options)) {
    json list = json::array();
    for (const Caption& one : hypotheses) {
      json words = json::array();
      for (const CaptionWord& word : one.words) {
        outputs.push_back({fmt::format("heat/{}/{}/{}", images.size(), list.size(), words.size()), word.heat});
        words.push_back(word.text);
      }
      list.push_back({{"tokens", one.generated.tokens},
                      {"score", one.generated.score},
                      {"rows", one.generated.rows},
                      {"text", one.text},
                      {"words", words}});
    }
    images.push_back(list);
  }
  return {{"captions", images}};
}

json answer(const json& job, std::string& loaded_from, LoadedCaptioner& captioner) {
  const std::string folder = job["folder"];
  if (loaded_from != folder) {
    captioner = load_captioner(folder);
    loaded_from = folder;
  }
  if (job.value("prepare", false)) prepare_for_inference(captioner.model->module());
  const c10::InferenceMode inference;
  const StateDict input = load_state_dict(job["input"].get<std::string>());
  const at::Tensor x = *input.find("x");
  std::vector<NamedTensor> outputs;
  json result = {{"report", captioner.report}};
  if (job.contains("generate")) {
    result.update(captions_of(captioner, x, job, outputs));
  } else {
    const auto memory = captioner.model->encode(x);
    outputs = {{"memory", memory}, {"logits", captioner.model->forward(*input.find("tokens"), memory)}};
  }
  if (job.contains("output")) save_safetensors(job["output"].get<std::string>(), outputs);
  return result;
}

}  // namespace
}  // namespace fovea

int main() {
  using nlohmann::json;
  std::string loaded_from;
  fovea::LoadedCaptioner captioner;
  for (std::string line; std::getline(std::cin, line);) {
    json reply;
    try {
      reply = fovea::answer(json::parse(line), loaded_from, captioner);
    } catch (const fovea::Error& error) {
      reply = {{"error", error.what()}, {"code", static_cast<int>(error.kind())}};
      loaded_from.clear();
    } catch (const std::exception& error) {
      reply = {{"error", error.what()}, {"code", 1}};
      loaded_from.clear();
    }
    std::cout << reply.dump() << std::endl;
  }
}
