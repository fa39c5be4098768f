// What attention maps add to a forward pass, counted.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/inference/init.h"
#include "fovea/tests/claims/figure.h"
#include "fovea/tests/support/allocated_bytes.h"
#include "fovea/tests/support/multiply_adds.h"
#include "fovea/vision/models/published.h"
#include "fovea/vision/models/registry.h"

namespace fovea::testing {
namespace {

constexpr const char* kVitB = "vit_base_patch16_224";
constexpr int64_t kLayers = 12, kHeads = 12, kTokens = 197, kHeadWidth = 64;

struct Cost {
  int64_t multiply_adds = 0;
  int64_t bytes = 0;  // of all tensors that were allocated

  Cost operator-(const Cost& other) const { return {multiply_adds - other.multiply_adds, bytes - other.bytes}; }
};

class MapCost : public ::testing::Test {
 protected:
  MapCost()
      : network_([] {
          const SkipInit skip;
          return create_model(kVitB);
        }()) {
    at::manual_seed(4);
    for (at::Tensor& parameter : network_.model->module().parameters()) parameter.normal_(0, 0.02);
    network_.model->module().eval();
    forward();  // packs weights
  }

  Cost forward() {
    const MultiplyAdds counted;
    const AllocatedBytes allocated;
    network_.model->forward(x_);
    return {counted.count(), allocated.total()};
  }

  Cost forward_with(const std::vector<int64_t>& queries) {
    const AttentionRecorder recorder(network_.model->module(), {.queries = queries});
    const Cost cost = forward();
    EXPECT_EQ(std::ssize(recorder.maps()), kLayers);
    const int64_t rows = queries.empty() ? kTokens : std::ssize(queries);
    for (const AttentionMap& map : recorder.maps()) {
      EXPECT_EQ(map.weights.sizes(), at::IntArrayRef({1, kHeads, rows, kTokens})) << map.path;
    }
    return cost;
  }

  at::NoGradGuard no_grad_;
  NamedModel network_;
  at::Tensor x_ = at::zeros({1, 3, 224, 224});
};

// Of a row: one product with the keys in each head. A plain pass of 17.6 billion multiply-adds does not feel it.
TEST_F(MapCost, RowsOfClsInAllLayersOfVitB) {
  const Cost plain = forward(), again = forward();
  EXPECT_EQ(again.bytes, plain.bytes);
  const Cost added = forward_with({0}) - plain, all = forward_with({}) - plain;
  constexpr int64_t row = kLayers * kHeads * kTokens * kHeadWidth;
  EXPECT_EQ(added.multiply_adds, row);
  EXPECT_EQ(all.multiply_adds, kTokens * row);
  const auto share = [](int64_t part, int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); };
  const double products = share(added.multiply_adds, facts_of(kVitB).multiply_adds),
               bytes = share(added.bytes, plain.bytes);
  figure(
      "ViT-B/16, rows of CLS in 12 layers: {:.4f} % more multiply-adds, {:.2f} % more bytes; all rows: {:.2f} %, "
      "{:.0f} %",
      100 * products, 100 * bytes, 100 * share(all.multiply_adds, facts_of(kVitB).multiply_adds),
      100 * share(all.bytes, plain.bytes));
  EXPECT_LE(products, 0.15);
  EXPECT_LE(bytes, 0.15);
}

}  // namespace
}  // namespace fovea::testing
