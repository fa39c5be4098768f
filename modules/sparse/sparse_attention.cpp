#include "fovea/modules/sparse/sparse_attention.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "fovea/modules/attention/recorded_weights.h"
#include "fovea/modules/attention/softmax.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// For each block of queries: block of keys → allowed pairs, b·b flags.
using BlockRow = std::map<int64_t, std::vector<uint8_t>>;

std::vector<BlockRow> cut(const SparsityPattern& pattern, int64_t block) {
  std::vector<BlockRow> rows(static_cast<size_t>((pattern.queries() + block - 1) / block));
  for (int64_t i = 0; i < pattern.queries(); ++i) {
    BlockRow& row = rows[static_cast<size_t>(i / block)];
    for (const int64_t j : pattern.row(i)) {
      auto& flags = row.try_emplace(j / block, static_cast<size_t>(block * block), uint8_t{0}).first->second;
      flags[static_cast<size_t>(i % block * block + j % block)] = 1;
    }
  }
  return rows;
}

// […,M,d] → […,blocks,b,d], zeros behind the end.
at::Tensor in_blocks(const at::Tensor& t, int64_t block) {
  const int64_t blocks = (t.size(2) + block - 1) / block;
  const auto padded = blocks * block == t.size(2) ? t : at::constant_pad_nd(t, {0, 0, 0, blocks * block - t.size(2)});
  return padded.reshape({t.size(0), t.size(1), blocks, block, t.size(3)});
}

// Blocks [G,n] of [B,H,blocks,b,d] → [B,H,G,n·b,d].
at::Tensor gathered(const at::Tensor& blocks, const at::Tensor& index) {
  return blocks.index_select(2, index.flatten())
      .reshape({blocks.size(0), blocks.size(1), index.size(0), index.size(1) * blocks.size(3), blocks.size(4)});
}

// The weights of the rows asked for, [B,H,n,M].
at::Tensor sparse_weights(const at::Tensor& q, const at::Tensor& k, const SparseLayout& layout, double scale,
                          const SparseAttentionArgs& args) {
  const auto queries = recording::queries();
  auto allowed = layout.pattern().mask().to(q.device());
  auto rows = q;
  if (!queries.empty()) {
    const auto index = at::tensor(queries, q.options().dtype(at::kLong));
    allowed = allowed.index_select(0, index);
    rows = q.index_select(2, index);
  }
  allowed = allowed.view({1, 1, allowed.size(0), allowed.size(1)});
  if (args.key_mask.defined()) allowed = allowed.logical_and(args.key_mask.unsqueeze(1).unsqueeze(1));
  return masked_softmax(at::matmul(rows, k.transpose(2, 3)) * scale, allowed);
}

}  // namespace

SparseLayout::SparseLayout(SparsityPattern pattern, int64_t block) : pattern_(std::move(pattern)), block_(block) {
  require(block > 0, ErrorKind::usage, "SparseLayout: block {} must be positive", block);
  const auto rows = cut(pattern_, block);
  std::map<size_t, std::vector<int64_t>> by_count;  // of key blocks
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].empty()) by_count[rows[i].size()].push_back(static_cast<int64_t>(i));
  }
  for (const auto& [count, members] : by_count) {
    const auto n = static_cast<int64_t>(count), G = static_cast<int64_t>(members.size());
    auto keys = at::empty({G, n}, at::kLong);
    auto allowed = at::empty({G, block, n, block}, at::kBool);
    for (int64_t g = 0; g < G; ++g) {
      int64_t slot = 0;
      for (const auto& [key, flags] : rows[static_cast<size_t>(members[static_cast<size_t>(g)])]) {
        keys.data_ptr<int64_t>()[g * n + slot] = key;
        bool* const target = allowed.data_ptr<bool>() + g * block * n * block + slot * block;
        for (int64_t i = 0; i < block; ++i) {
          for (int64_t j = 0; j < block; ++j)
            target[i * n * block + j] = flags[static_cast<size_t>(i * block + j)] != 0;
        }
        ++slot;
      }
    }
    const bool full = allowed.all().item<bool>();
    groups_.push_back(
        {at::tensor(members, at::kLong), keys, full ? at::Tensor() : allowed.view({G, block, n * block})});
  }
}

int64_t SparseLayout::blocks() const {
  int64_t count = 0;
  for (const Group& group : groups_) count += group.keys.numel();
  return count;
}

void SparseLayout::to(at::Device device) {
  for (at::Tensor* table : tables()) *table = table->to(device);
}

std::vector<at::Tensor*> SparseLayout::tables() {
  std::vector<at::Tensor*> all;
  for (Group& group : groups_) {
    all.insert(all.end(), {&group.queries, &group.keys});
    if (group.allowed.defined()) all.push_back(&group.allowed);
  }
  return all;
}

at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const SparseLayout& layout,
                            const SparseAttentionArgs& args) {
  const auto& pattern = layout.pattern();
  const bool fits = q.dim() == 4 && k.dim() == 4 && v.dim() == 4 && k.size(0) == q.size(0) && v.size(0) == q.size(0) &&
                    k.size(1) == q.size(1) && v.size(1) == q.size(1) && k.size(3) == q.size(3) &&
                    q.size(2) == pattern.queries() && k.size(2) == pattern.keys() && v.size(2) == pattern.keys();
  require(fits, ErrorKind::data,
          "sparse_attention: expected q [B,H,{},d], k [B,H,{},d], v [B,H,{},e] for the pattern, got {}, {}, {}",
          pattern.queries(), pattern.keys(), pattern.keys(), shape_text(q), shape_text(k), shape_text(v));
  require(!args.key_mask.defined() || (args.key_mask.scalar_type() == at::kBool && args.key_mask.dim() == 2 &&
                                       args.key_mask.size(0) == q.size(0) && args.key_mask.size(1) == k.size(2)),
          ErrorKind::data, "sparse_attention: expected key_mask bool [B,M], got {} for k {}", shape_text(args.key_mask),
          shape_text(k));
  const int64_t B = q.size(0), H = q.size(1), N = q.size(2), b = layout.block();
  const double scale = args.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3))));
  const auto shown = args.key_mask.defined() ? args.key_mask.unsqueeze(1) : at::Tensor();  // [B,1,M]
  const auto query_blocks = in_blocks(q, b);
  const auto key_blocks = in_blocks(hide_rows(k, shown), b);
  const auto value_blocks = in_blocks(hide_rows(v, shown), b);
  const auto mask_blocks = shown.defined() ? in_blocks(args.key_mask.view({B, 1, -1, 1}), b) : at::Tensor();
  auto out = at::zeros({B, H, query_blocks.size(2), b, v.size(3)}, v.options());
  for (const auto& group : layout.groups()) {
    const auto keys = gathered(key_blocks, group.keys);             // [B,H,G,n·b,d]
    const auto rows = query_blocks.index_select(2, group.queries);  // [B,H,G,b,d]
    auto allowed = group.allowed;                                   // [G,b,n·b]
    if (mask_blocks.defined()) {
      const auto open = gathered(mask_blocks, group.keys).squeeze(-1).unsqueeze(3);  // [B,1,G,1,n·b]
      allowed = allowed.defined() ? open.logical_and(allowed) : open;
    }
    const auto weights = masked_softmax(at::matmul(rows, keys.transpose(3, 4)) * scale, allowed);
    const auto mixed = at::matmul(weights, gathered(value_blocks, group.keys));
    out = out.index_add(2, group.queries, mixed.to(out.scalar_type()));  // autocast lowers the product
  }
  const auto output = out.flatten(2, 3).narrow(2, 0, N);
  if (recording::wanted(args.module)) {
    recording::add_weights(args.module, sparse_weights(q, hide_rows(k, shown), layout, scale, args), output,
                           hide_rows(v, shown));
  }
  return output;
}

}  // namespace fovea
