// The order of a dataset in training, and the tensors made of it.
#include "fovea/vision/training/batches.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "fovea/modules/error.h"
#include "fovea/tests/training/patterns.h"

namespace fovea {
namespace {

using test::Patterns;
using test::patterns_preprocessing;

std::vector<int64_t> epoch_order(TrainingBatches& batches, int64_t epoch) {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < batches.steps_per_epoch(); ++i) {
    const auto part = batches.indices(epoch * batches.steps_per_epoch() + i);
    order.insert(order.end(), part.begin(), part.end());
  }
  return order;
}

TEST(TrainingBatches, VisitEveryPictureOnceAnEpoch) {
  for (const int64_t size : {2, 7, 64, 65, 129}) {
    const Patterns data(size);
    for (const int64_t batch : {int64_t{1}, int64_t{2}, int64_t{5}, size}) {
      if (batch > size) continue;
      TrainingBatches batches(data, {.batch_size = batch, .seed = 3, .preprocess = patterns_preprocessing()});
      std::vector<int64_t> everything(size);
      std::iota(everything.begin(), everything.end(), 0);
      for (const int64_t epoch : {0, 1}) {
        auto order = epoch_order(batches, epoch);
        std::sort(order.begin(), order.end());
        EXPECT_EQ(order, everything) << size << " pictures in batches of " << batch;
      }
    }
  }
}

TEST(TrainingBatches, DifferInSizeByOneAtMost) {
  const Patterns data(129);
  TrainingBatches batches(data, {.batch_size = 32, .preprocess = patterns_preprocessing()});
  ASSERT_EQ(batches.steps_per_epoch(), 5);
  for (int64_t step = 0; step < 10; ++step) {
    const auto size = batches.indices(step).size();
    EXPECT_TRUE(size == 25 || size == 26) << size;
  }
}

TEST(TrainingBatches, OrderDependsOnSeedAndEpochAlone) {
  const Patterns data(50);
  const auto make = [&](uint64_t seed) {
    return TrainingBatches(data, {.batch_size = 8, .seed = seed, .preprocess = patterns_preprocessing()});
  };
  TrainingBatches a = make(1), b = make(1), c = make(2);
  const auto first = epoch_order(a, 0), second = epoch_order(a, 1);
  EXPECT_EQ(epoch_order(b, 1), second);  // without having been at epoch 0
  EXPECT_EQ(epoch_order(b, 0), first);
  EXPECT_NE(first, second);
  EXPECT_NE(epoch_order(c, 0), first);
}

TEST(TrainingBatches, ChangesDependOnSeedEpochAndPictureAlone) {
  const Patterns data(20);
  const TrainingBatches::Options options{.batch_size = 4,
                                         .seed = 7,
                                         .preprocess = patterns_preprocessing(),
                                         .augment = {.flip = true, .shift = 2, .erase = 0.5}};
  TrainingBatches through(data, options), jumping(data, options);
  for (int64_t step = 0; step < 12; ++step) through.get(step);
  EXPECT_TRUE(through.get(13).images.equal(jumping.get(13).images));
  EXPECT_TRUE(through.get(13).labels.equal(jumping.get(13).labels));
  EXPECT_FALSE(through.get(13).images.equal(through.get(12).images));
}

TEST(TrainingBatches, WithoutAugmentationArePreprocessedPictures) {
  const Patterns data(10, 20);
  auto options = patterns_preprocessing(12);
  options.crop_pct = 0.75;
  TrainingBatches batches(data, {.batch_size = 5, .preprocess = options});
  const auto indices = batches.indices(1);
  const Batch batch = batches.get(1);
  EXPECT_EQ(batch.images.sizes(), (at::IntArrayRef{5, 3, 12, 12}));
  EXPECT_TRUE(batch.images.is_contiguous(at::MemoryFormat::ChannelsLast));
  for (size_t i = 0; i < indices.size(); ++i) {
    const Example example = data.get(indices[i]);
    EXPECT_TRUE(batch.images[static_cast<int64_t>(i)].equal(preprocess(example.image, options)));
    EXPECT_EQ(batch.labels[static_cast<int64_t>(i)].item<int64_t>(), example.label);
  }
}

TEST(TrainingBatches, RefuseABatchThatIsLargerThanTheData) {
  const Patterns data(10);
  for (const int64_t size : {-1, 0, 11}) {
    try {
      TrainingBatches(data, {.batch_size = size, .preprocess = patterns_preprocessing()});
      ADD_FAILURE() << "accepted batch size " << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_EQ(error.what(), fmt::format("train: batch size {} is not in 1 … 10 (pictures)", size));
    }
  }
}

}  // namespace
}  // namespace fovea
