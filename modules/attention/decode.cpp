#include "fovea/modules/attention/decode.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// A buffer with room for `length` tokens that begins with those of `old`.
at::Tensor grown(const at::Tensor& old, const at::Tensor& like, int64_t used, int64_t length) {
  auto fresh = at::empty({like.size(0), like.size(1), length, like.size(3)}, like.options());
  if (used > 0) fresh.narrow(2, 0, used).copy_(old.narrow(2, 0, used));
  return fresh;
}

}  // namespace

void KeyValueCache::append(const at::Tensor& k, const at::Tensor& v) {
  require(k.dim() == 4 && v.dim() == 4 && k.size(0) == v.size(0) && k.size(1) == v.size(1) && k.size(2) == v.size(2),
          ErrorKind::data, "KeyValueCache: expected k [B,K,n,d], v [B,K,n,e], got {}, {}", shape_text(k),
          shape_text(v));
  const auto fits = [](const at::Tensor& kept, const at::Tensor& added) {
    return kept.size(0) == added.size(0) && kept.size(1) == added.size(1) && kept.size(3) == added.size(3) &&
           kept.scalar_type() == added.scalar_type();
  };
  require(length_ == 0 || (fits(keys_, k) && fits(values_, v)), ErrorKind::data,
          "KeyValueCache: k {} and v {} do not continue keys {} and values {}", shape_text(k), shape_text(v),
          shape_text(keys()), shape_text(values()));
  const int64_t length = length_ + k.size(2);
  if (length_ == 0) {
    // Head by head: a step reads each head's keys as one stream.
    keys_ = k.clone(at::MemoryFormat::Contiguous);
    values_ = v.clone(at::MemoryFormat::Contiguous);
  } else {
    if (length > keys_.size(2)) {
      const int64_t room = std::max(length, 2 * keys_.size(2));
      keys_ = grown(keys_, k, length_, room);
      values_ = grown(values_, v, length_, room);
    }
    keys_.narrow(2, length_, k.size(2)).copy_(k);
    values_.narrow(2, length_, v.size(2)).copy_(v);
  }
  length_ = length;
}

void KeyValueCache::select(const at::Tensor& index) {
  if (length_ == 0) return;
  keys_ = keys_.index_select(0, index);
  values_ = values_.index_select(0, index);
}

at::Tensor KeyValueCache::keys() const {
  return keys_.defined() ? keys_.narrow(2, 0, length_) : keys_;
}
at::Tensor KeyValueCache::values() const {
  return values_.defined() ? values_.narrow(2, 0, length_) : values_;
}

at::Tensor decode_attention(const at::Tensor& q, const KeyValueCache& cache, const AttentionArgs& args) {
  require(cache.length() > 0, ErrorKind::data, "decode_attention: the cache is empty");
  const auto k = cache.keys();
  const auto v = cache.values();
  require(q.dim() == 4 && q.size(0) % k.size(0) == 0, ErrorKind::data,
          "decode_attention: the batch of q {} is no multiple of that of the keys {}", shape_text(q), shape_text(k));
  const int64_t beams = q.size(0) / k.size(0);
  if (beams == 1 || args.mask.defined() || args.bias.defined() || args.causal || args.key_lengths.defined() ||
      args.position != nullptr) {
    const auto shared = [&](const at::Tensor& t) {
      if (beams == 1) return t;
      return t.unsqueeze(1).expand({t.size(0), beams, t.size(1), t.size(2), t.size(3)}).flatten(0, 1);
    };
    return attention(q, shared(k), shared(v), args);
  }
  // Beams of an image become more queries of one batch row: [b·beams,H,n,d] → [b,H,beams·n,d].
  const int64_t heads = q.size(1), n = q.size(2), width = q.size(3);
  const auto rows =
      q.view({k.size(0), beams, heads, n, width}).transpose(1, 2).reshape({k.size(0), heads, beams * n, width});
  const auto out = attention(rows, k, v, args);  // [b,H,beams·n,e]
  return out.view({k.size(0), heads, beams, n, out.size(3)})
      .transpose(1, 2)
      .reshape({q.size(0), heads, n, out.size(3)});
}

}  // namespace fovea
