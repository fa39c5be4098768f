// Which pictures each step of a training run sees.
#pragma once

#include <cstdint>
#include <vector>

namespace fovea {

struct TrainingOrderOptions {
  int64_t pictures = 0;  // of an epoch
  int64_t batch_size = 0;
  uint64_t seed = 0;
  bool endless = false;  // every epoch has pictures of its own, that never come again
};

// Every picture once an epoch, in an order that depends on seed and epoch alone; endless data in the order of their
// numbers. The batches of an epoch differ in size by at most one, none is larger than `batch_size`.
class TrainingOrder {
 public:
  // Throws Error(usage) for a batch size below 1 or above the number of pictures.
  explicit TrainingOrder(const TrainingOrderOptions& options);

  int64_t steps_per_epoch() const { return steps_; }

  // Indices of a step, counted from 0 through all epochs.
  std::vector<int64_t> indices(int64_t step);

  // The number of a picture's showing, another one each time: the key of what is drawn at random for it.
  uint64_t showing(int64_t step, int64_t index) const;

 private:
  TrainingOrderOptions options_;
  int64_t steps_;
  int64_t epoch_ = -1;  // that order_ belongs to
  std::vector<int64_t> order_;
};

// Batches differ by one at most: where the sizes allow one picture alone, batch norm has no variance to divide by.
// Throws Error(usage) there.
void require_pairs(int64_t pictures, int64_t batch_size);

}  // namespace fovea
