#include "fovea/vision/training/order.h"

#include <algorithm>
#include <numeric>

#include "fovea/modules/error.h"
#include "fovea/vision/training/random.h"

namespace fovea {

TrainingOrder::TrainingOrder(const TrainingOrderOptions& options) : options_(options) {
  require(options.batch_size >= 1 && options.batch_size <= options.pictures, ErrorKind::usage,
          "train: batch size {} is not in 1 … {} (pictures)", options.batch_size, options.pictures);
  steps_ = (options.pictures + options.batch_size - 1) / options.batch_size;
}

std::vector<int64_t> TrainingOrder::indices(int64_t step) {
  const int64_t pictures = options_.pictures, epoch = step / steps_, position = step % steps_;
  const int64_t begin = pictures * position / steps_;
  const int64_t end = pictures * (position + 1) / steps_;
  if (options_.endless) {
    std::vector<int64_t> fresh(static_cast<size_t>(end - begin));
    std::iota(fresh.begin(), fresh.end(), epoch * pictures + begin);
    return fresh;
  }
  if (epoch != epoch_) {
    Random random(options_.seed, static_cast<uint64_t>(epoch));
    order_ = permutation(pictures, random);
    epoch_ = epoch;
  }
  return {order_.begin() + begin, order_.begin() + end};
}

uint64_t TrainingOrder::showing(int64_t step, int64_t index) const {
  return static_cast<uint64_t>(options_.endless ? index : step / steps_ * options_.pictures + index);
}

void require_pairs(int64_t pictures, int64_t batch_size) {
  const int64_t steps = (pictures + batch_size - 1) / std::max<int64_t>(batch_size, 1);
  require(batch_size < 1 || pictures / std::max<int64_t>(steps, 1) >= 2, ErrorKind::usage,
          "train: batch size {} with {} pictures makes batches of a single one; at least two are needed", batch_size,
          pictures);
}

}  // namespace fovea
