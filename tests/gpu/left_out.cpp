// What the glue's test on a GPU does without, because its libraries may be missing there: the kernels of the CPU
// (Highway) and the recorder (RE2).
#include <ATen/core/Tensor.h>

#include "fovea/modules/attention/additive_problem.h"
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/attention/problem.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/channel/gate_cpu.h"
#include "fovea/modules/window/window_problem.h"

namespace fovea {
namespace {

constexpr const char* kLeftOut = "left out of this program";

[[noreturn]] void left_out() {
  fail(ErrorKind::internal, "{}", kLeftOut);
}

}  // namespace

namespace cpu {

at::Tensor dropout_factors(double, uint64_t, at::IntArrayRef, const at::Tensor&) {
  left_out();
}

}  // namespace cpu

std::string cpu_refuses(const AttentionProblem&) {
  return kLeftOut;
}
at::Tensor cpu_attention(const AttentionProblem&) {
  left_out();
}
std::string additive_cpu_refuses(const AdditiveProblem&) {
  return kLeftOut;
}
AdditiveAttentionResult additive_on_cpu(const AdditiveProblem&) {
  left_out();
}
std::string window_cpu_refuses(const WindowProblem&) {
  return kLeftOut;
}
at::Tensor window_cpu(const WindowProblem&) {
  left_out();
}

namespace gate_cpu {

std::string refuses(const at::Tensor&) {
  return kLeftOut;
}
const gated_map::Kernels& kernels() {
  left_out();
}

}  // namespace gate_cpu

TokenGridScope::TokenGridScope(const TokenGrid&) {}
TokenGridScope::~TokenGridScope() = default;

namespace recording {

bool wanted(const torch::nn::Module*) {
  return false;
}
bool differentiable(const torch::nn::Module*) {
  return false;
}
bool gradients(const torch::nn::Module*) {
  return false;
}
std::vector<int64_t> queries() {
  return {};
}
void output(const torch::nn::Module*, const at::Tensor&, int64_t) {}
WindowScope::WindowScope(const WindowLayout&) {}
WindowScope::~WindowScope() = default;
size_t add(const torch::nn::Module*, MapKind, const at::Tensor&, const std::vector<int64_t>&) {
  left_out();
}
void add_gradient(size_t, const at::Tensor&, const std::function<at::Tensor(const at::Tensor&)>&) {}

}  // namespace recording
}  // namespace fovea
