#include "fovea/vision/training/mean_average_precision.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// Both [N]; at least one is present. Sorted by score, groups of equal scores count at once.
double average_precision(const at::Tensor& scores, const at::Tensor& present) {
  const auto [sorted, order] = scores.sort(0, /*descending=*/true);
  const auto there = present.index_select(0, order);
  const auto* const score = sorted.const_data_ptr<double>();
  const auto* const hit = there.const_data_ptr<bool>();
  const int64_t count = scores.size(0);
  double sum = 0;
  int64_t found = 0;
  for (int64_t first = 0; first < count;) {
    int64_t end = first, here = 0;
    for (; end < count && score[end] == score[first]; ++end) here += hit[end] ? 1 : 0;
    found += here;
    sum += static_cast<double>(here * found) / static_cast<double>(end);
    first = end;
  }
  return sum / static_cast<double>(found);
}

}  // namespace

double mean_average_precision(const at::Tensor& scores, const at::Tensor& present) {
  require(scores.dim() == 2 && scores.is_floating_point() && present.sizes() == scores.sizes() &&
              present.scalar_type() == at::kBool,
          ErrorKind::data, "mean_average_precision: expected scores [N,C] and bool [N,C], got {} and {}",
          shape_text(scores), shape_text(present));
  require(!scores.isnan().any().item<bool>(), ErrorKind::numeric, "mean_average_precision: scores hold NaN");
  const auto columns = scores.to(at::kCPU, at::kDouble).t().contiguous();  // [C,N]
  const auto there = present.to(at::kCPU).t().contiguous();
  double sum = 0;
  int64_t classes = 0;
  for (int64_t c = 0; c < columns.size(0); ++c) {
    if (!there[c].any().item<bool>()) continue;
    sum += average_precision(columns[c], there[c]);
    ++classes;
  }
  require(classes > 0, ErrorKind::data, "mean_average_precision: no class has an example");
  return sum / static_cast<double>(classes);
}

}  // namespace fovea
