// One process of a ring, read by the tests in Python.
//
//     ring_tool RANK SIZE MEETING_FILE JOB         "-" for the file: RANK and so on come from the environment
//
// The job, JSON: {"cases": [{"name", "queries": [n of each process], "keys": [m of each], "causal", "masked", "record":
// [rows], "twice": whether backward is to be differentiated, "odd": a process whose call differs, "how"}], "input":
// safetensors with NAME/q, k, v, cotangent and mask of whole sequences, "output": prefix of a file for each process}.
// Answers NAME/output, NAME/q, k, v (gradients) and NAME/map of this process, and in one line of JSON the most bytes
// that each case held at once.
#include <torch/csrc/autograd/autograd.h>

#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/linear.h"
#include "fovea/modules/parallel/ring_attention.h"
#include "fovea/modules/weights/state_dict.h"
#include "fovea/tests/support/allocated_bytes.h"

namespace fovea {
namespace {

using nlohmann::json;

// This process's share of a dimension.
at::Tensor share(const at::Tensor& whole, int64_t dim, const std::vector<int64_t>& lengths, int64_t rank) {
  int64_t start = 0;
  for (int64_t before = 0; before < rank; ++before) start += lengths[before];
  return whole.narrow(dim, start, lengths[rank]).contiguous();
}

int64_t run(const json& one, const StateDict& input, const ProcessGroup& group, std::vector<NamedTensor>& answers) {
  const std::string name = one["name"];
  const auto queries = one["queries"].get<std::vector<int64_t>>(), keys = one["keys"].get<std::vector<int64_t>>();
  const auto part = [&](const char* what, int64_t dim, const std::vector<int64_t>& lengths) {
    return share(*input.find(name + "/" + what), dim, lengths, group->getRank());
  };
  const bool wants_gradients = one.value("gradients", true);
  const auto leaf = [&](const char* what, const std::vector<int64_t>& lengths) {
    return part(what, 2, lengths).requires_grad_(wants_gradients);
  };
  auto q = leaf("q", queries), k = leaf("k", keys), v = leaf("v", keys);
  Linear layer({.in_features = 1, .out_features = 1});  // whoever calls
  RingAttentionArgs args{.causal = one.value("causal", false), .module = layer.get()};
  if (one.value("masked", false)) args.key_mask = part("mask", 1, keys).to(at::kBool);
  if (one.contains("scale")) args.scale = one["scale"].get<double>();
  std::optional<AttentionRecorder> recorder;
  if (one.contains("record")) recorder.emplace(*layer, RecorderOptions{.queries = one["record"]});
  if (one.value("odd", -1) == group->getRank()) {
    const std::string how = one["how"];
    if (how == "narrower") q = q.narrow(3, 0, 2);
    if (how == "causal") args.causal = true;
    if (how == "mask") args.key_mask = at::ones({k.size(0), k.size(2)}, at::kBool);
    if (how == "gradients") recorder.emplace(*layer, RecorderOptions{.gradients = true});
    for (at::Tensor* t : {&q, &k, &v}) {
      if (how == "batch") *t = t->narrow(0, 0, 1);
      if (how == "type") *t = t->to(at::kFloat);
      if (how == "detached") *t = t->detach();
    }
  }

  const testing::AllocatedBytes held;
  const auto output = ring_attention(q, k, v, group, args);
  if (one.value("twice", false)) torch::autograd::grad({output.sum()}, {q}, {}, true, true);
  if (wants_gradients) {
    (output * part("cotangent", 2, queries)).sum().backward();
    answers.push_back({name + "/q", q.grad()});
    answers.push_back({name + "/k", k.grad()});
    answers.push_back({name + "/v", v.grad()});
  }
  answers.push_back({name + "/output", output.detach()});
  if (recorder) answers.push_back({name + "/map", recorder->maps().at(0).weights});
  return held.peak();
}

json answer(int64_t rank, int64_t size, const std::string& meeting, const json& job) {
  const std::chrono::milliseconds timeout(job.value("timeout_ms", 60'000));
  ProcessGroupOptions options{.rank = rank, .size = size, .file = meeting};
  if (meeting == "-") options = group_options_from_environment();
  options.timeout = timeout;
  const ProcessGroup group = make_gloo_group(options);
  if (job.value("leaves", -1) == rank) return {};
  const StateDict input = load_state_dict(job["input"].get<std::string>());
  std::vector<NamedTensor> answers;
  json peaks = json::object();
  for (const json& one : job["cases"]) peaks[one["name"].get<std::string>()] = run(one, input, group, answers);
  save_safetensors(fmt::format("{}.{}", job["output"].get<std::string>(), group->getRank()), answers);
  return peaks;
}

}  // namespace
}  // namespace fovea

int main(int count, char** arguments) {
  if (count != 5) return 2;
  std::signal(SIGPIPE, SIG_IGN);  // a process that is gone is an error of ring_attention's
  try {
    const auto job = nlohmann::json::parse(arguments[4]);
    std::cout << fovea::answer(std::stoll(arguments[1]), std::stoll(arguments[2]), arguments[3], job).dump() << "\n";
    return 0;
  } catch (const fovea::Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.kind());
  }
}
