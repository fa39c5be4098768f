// Heads of ViT-B and of long rows, windows of Swin-T's stages, and steps of decoding.
#include <algorithm>
#include <array>
#include <memory>

#include "fovea/modules/kernels/cuda/attention.h"
#include "fovea/modules/kernels/cuda/window.h"
#include "fovea/tests/gpu/bench.h"
#include "fovea/tests/simt/harness.h"

namespace fovea::kernels::testing {
namespace {

constexpr std::array kBenchTypes = {Number::float32, Number::bfloat16};

Array floats_of(size_t bytes) {
  return Array(Number::float32, static_cast<int64_t>(bytes / sizeof(float)));
}

struct HeadSizes {
  std::string name;
  int64_t batch, heads, queries, keys, width;
};

struct Heads {
  Heads(const HeadSizes& s, Number type)
      : q(type, s.batch * s.heads * s.queries * s.width),
        k(type, s.batch * s.heads * s.keys * s.width),
        v(type, s.batch * s.heads * s.keys * s.width),
        out(type, q.size()),
        grad_out(type, q.size()),
        grad_q(type, q.size()),
        grad_k(type, k.size()),
        grad_v(type, k.size()),
        log_sum(Number::float32, s.batch * s.heads * s.queries) {
    call = {.type = type,
            .batch = s.batch,
            .heads = s.heads,
            .key_heads = s.heads,
            .queries = s.queries,
            .keys = s.keys,
            .width = s.width,
            .value_width = s.width,
            .scale = 0.125};
    call.q = seen(q, s.queries);
    call.k = seen(k, s.keys);
    call.v = seen(v, s.keys);
    gradients = {.out = seen(out, s.queries),
                 .log_sum = log_sum.data(),
                 .grad_out = seen(grad_out, s.queries),
                 .grad_q = written(grad_q, s.queries),
                 .grad_k = written(grad_k, s.keys),
                 .grad_v = written(grad_v, s.keys)};
    workspace = floats_of(std::max(cuda::attention_workspace(call, gradients), cuda::decode_workspace(call)));
  }

  View seen(const Array& a, int64_t rows) const {
    return {a.pointer(), call.heads * rows * call.width, rows * call.width, call.width};
  }
  MutableView written(const Array& a, int64_t rows) const {
    return {a.pointer(), call.heads * rows * call.width, rows * call.width, call.width};
  }

  Array q, k, v, out, grad_out, grad_q, grad_k, grad_v, log_sum, workspace;
  AttentionCall call;
  AttentionGradients gradients;
};

std::vector<Bench> heads() {
  std::vector<Bench> rows;
  for (const auto type : kBenchTypes) {
    for (const auto& s :
         {HeadSizes{"vit_b heads B64", 64, 12, 197, 197, 64}, HeadSizes{"N4096 H8", 1, 8, 4096, 4096, 64},
          HeadSizes{"decode 1 query, 196 keys", 1, 8, 1, 196, 64},
          HeadSizes{"decode 5 beams, 196 keys", 1, 8, 5, 196, 64},
          HeadSizes{"decode 1 query, 8192 keys", 1, 8, 1, 8192, 64}}) {
      const auto h = std::make_shared<Heads>(s, type);
      const std::string name = s.name + " " + name_of(type);
      const double products = 2.0 * static_cast<double>(s.batch * s.heads * s.queries * s.keys * s.width);
      const auto bytes = [&](size_t queries, size_t keys) {  // tensors of the size of q, of k
        return static_cast<double>((queries * h->q.size() + keys * h->k.size()) * bytes_of(type));
      };
      const auto out = h->written(h->out, s.queries);
      if (s.queries <= 16) {
        rows.push_back({name, bytes(2, 2), 2 * products, [=] {
                          start_only(cuda::attention_decode(h->call, out, nullptr, h->workspace.pointer(), nullptr));
                        }});
        continue;
      }
      rows.push_back({name, bytes(2, 2), 2 * products,
                      [=] { start_only(cuda::attention_forward(h->call, out, nullptr, nullptr)); }});
      rows.push_back({name + " backward", bytes(4, 4), 5 * products, [=] {
                        start_only(cuda::attention_backward(h->call, h->gradients, h->workspace.pointer(), nullptr));
                      }});
    }
  }
  return rows;
}

struct Grid {
  Grid(int64_t batch, int64_t side, int64_t heads, Number type)
      : qkv(type, batch * side * side * 3 * heads * 32),
        out(type, batch * side * side * heads * 32),
        grad_out(type, out.size()),
        grad_qkv(type, qkv.size()),
        table(type, 169 * heads),
        log_sum(Number::float32, batch * side * side * heads),
        grad_bias(Number::float32, kWindowParts * heads * 49 * 49) {
    const int64_t channels = heads * 32, shift = side > 7 ? 3 : 0;
    call = {.type = type,
            .batch = batch,
            .height = side,
            .width = side,
            .window_height = 7,
            .window_width = 7,
            .shift_height = shift,
            .shift_width = shift,
            .heads = heads,
            .head_width = 32,
            .scale = 0.177,
            .qkv = qkv.pointer(),
            .image_stride = side * side * 3 * channels,
            .row_stride = side * 3 * channels,
            .token_stride = 3 * channels,
            .table = table.pointer()};
    gradients = {.grad_out = grad_out.pointer(),
                 .grad_qkv = grad_qkv.pointer(),
                 .grad_pad = nullptr,
                 .grad_bias = grad_bias.pointer()};
    workspace = floats_of(cuda::window_workspace(call, gradients));
  }

  Array qkv, out, grad_out, grad_qkv, table, log_sum, grad_bias, workspace;
  WindowCall call;
  WindowGradients gradients;
};

std::vector<Bench> windows() {
  std::vector<Bench> rows;
  for (const auto type : kBenchTypes) {
    for (const int64_t stage : {1, 2, 3, 4}) {
      const auto g = std::make_shared<Grid>(64, 56 >> (stage - 1), int64_t{3} << (stage - 1), type);
      const std::string name = "swin_t stage " + std::to_string(stage) + " B64 " + name_of(type);
      const double map = static_cast<double>(g->out.size() * bytes_of(type));  // [B,h,w,C]
      const double products = 2.0 * static_cast<double>(g->out.size()) * 49;
      rows.push_back({name, 4 * map, 2 * products, [=] {
                        start_only(cuda::window_forward(g->call, g->out.pointer(), g->log_sum.data(), nullptr));
                      }});
      rows.push_back({name + " backward", 8 * map, 5 * products, [=] {
                        start_only(cuda::window_backward(g->call, {g->out.pointer(), g->log_sum.data()}, g->gradients,
                                                         g->workspace.pointer(), nullptr));
                      }});
    }
  }
  return rows;
}

const BenchRegistration register_heads(heads), register_windows(windows);

}  // namespace
}  // namespace fovea::kernels::testing
