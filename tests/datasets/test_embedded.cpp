// The shipped networks on all pictures of the test split of Fashion-MNIST.
#include "fovea/datasets/embedded.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "fovea/datasets/idx_dataset.h"
#include "fovea/datasets/labels.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/load_weights.h"
#include "fovea/tests/support/multiply_adds.h"
#include "fovea/vision/models/published.h"
#include "fovea/vision/training/evaluate.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

const fs::path shipped = FOVEA_TEST_DATASETS;
const fs::path fashion = "/usr/share/datasets/fashion-mnist";  // of the package dataset-fashion-mnist

TEST(Embedded, NamesAreUniqueAndTheirFilesThere) {
  for (const EmbeddedModel& model : embedded_models()) {
    EXPECT_EQ(find_embedded(model.name), &model);
    EXPECT_TRUE(fs::is_regular_file(shipped / model.weights)) << model.weights;
    const NamedModel made = create_embedded(model.name);
    EXPECT_EQ(static_cast<int64_t>(read_labels((shipped / model.labels).string()).size()), made.info.num_classes);
  }
  EXPECT_EQ(find_embedded("resnet50"), nullptr);
  EXPECT_THROW(create_embedded("resnet50"), Error);
}

TEST(Embedded, WeightsAreThirtyMegabytesAtMost) {
  uintmax_t bytes = 0;
  for (const EmbeddedModel& model : embedded_models()) bytes += fs::file_size(shipped / model.weights);
  EXPECT_LE(bytes, uintmax_t{12'000'000});
  for (const EmbeddedCaptioner& captioner : embedded_captioners()) {
    bytes += fs::file_size(shipped / captioner.folder / "model.safetensors");
    EXPECT_EQ(find_embedded_captioner(captioner.name), &captioner);
    EXPECT_EQ(find_embedded_captioner(captioner.encoder), &captioner);
  }
  EXPECT_LE(bytes, uintmax_t{30'000'000});
  EXPECT_EQ(find_embedded_captioner("fovea_vit_fashion"), nullptr);
}

// Counted where every product is one of LibTorch's. The first three are registered networks: they tie this count to the
// table's.
TEST(Embedded, CostsAreThoseOfARun) {
  const at::NoGradGuard no_grad;
  std::vector<NamedModel> models = {create_model("vit_tiny_patch16_224"), create_model("swin_tiny_patch4_window7_224"),
                                    create_model("seresnet18")};
  for (const EmbeddedModel& model : embedded_models()) models.push_back(create_embedded(model.name));
  for (const EmbeddedCaptioner& captioner : embedded_captioners()) models.push_back(create_model(captioner.encoder));
  for (const auto& [info, model] : models) {
    int64_t parameters = 0;
    for (const auto& parameter : model->module().parameters()) parameters += parameter.numel();
    model->module().eval();
    const AttentionRecorder recorder(model->module(), {.differentiable = true});
    model->module().to(at::kHalf);  // which no kernel of ours takes: they would run uncounted
    const testing::MultiplyAdds counted;
    model->forward(at::zeros({1, 3, info.preprocess.height, info.preprocess.width}, at::kHalf));
    EXPECT_EQ(facts_of(info.name).parameters, parameters) << info.name;
    EXPECT_EQ(facts_of(info.name).multiply_adds, counted.count()) << info.name;
  }
}

// What the files of today reach; datasets/weights/README.md says what they are to reach.
struct Bound {
  const char* name;
  double percent;
};

class EmbeddedAccuracy : public ::testing::TestWithParam<Bound> {};

TEST_P(EmbeddedAccuracy, OnAllTestPictures) {
  const std::unique_ptr<Dataset> test =
      open_idx(fashion / "t10k-images-idx3-ubyte.gz", fashion / "t10k-labels-idx1-ubyte.gz", 10);
  ASSERT_EQ(test->size(), 10'000);
  const EmbeddedModel* embedded = find_embedded(GetParam().name);
  ASSERT_NE(embedded, nullptr);
  const NamedModel made = create_embedded(embedded->name);
  load_weights(made.model->module(), shipped / embedded->weights);
  const Accuracy accuracy = evaluate(*made.model, *test, made.info.preprocess);
  EXPECT_EQ(accuracy.total, 10'000);
  EXPECT_GE(accuracy.percent(), GetParam().percent);
  RecordProperty("percent", fmt::format("{:.2f}", accuracy.percent()));
  fmt::print("{}: {:.2f} %\n", embedded->name, accuracy.percent());
}

INSTANTIATE_TEST_SUITE_P(Shipped, EmbeddedAccuracy,
                         ::testing::Values(Bound{"fovea_seresnet_fashion", 93.5},
                                           Bound{"fovea_cbamresnet_fashion", 93.5}, Bound{"fovea_vit_fashion", 91},
                                           Bound{"fovea_swin_fashion", 92}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace fovea
