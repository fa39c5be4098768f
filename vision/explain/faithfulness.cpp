#include "fovea/vision/explain/faithfulness.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"
#include "fovea/vision/explain/evidence.h"

namespace fovea {
namespace {

constexpr uint64_t kSeedOfEqualHeat = 0;  // one order for all maps of a size

// Along one dimension of [1,C,h,w], borders mirrored.
at::Tensor blur_along(const at::Tensor& x, int64_t dim, double sigma) {
  const int64_t radius = std::min<int64_t>(static_cast<int64_t>(std::ceil(3 * sigma)), x.size(dim) - 1);
  if (radius < 1) return x;
  at::Tensor kernel = at::exp(-at::arange(-radius, radius + 1, at::kFloat).square() / (2 * sigma * sigma));
  kernel = (kernel / kernel.sum()).to(x.device(), x.scalar_type());
  const bool rows = dim == 2;
  const auto padded =
      at::reflection_pad2d(x, rows ? at::IntArrayRef({0, 0, radius, radius}) : at::IntArrayRef({radius, radius, 0, 0}));
  const auto weight = (rows ? kernel.view({1, 1, -1, 1}) : kernel.view({1, 1, 1, -1})).repeat({x.size(1), 1, 1, 1});
  const std::vector<int64_t> step = {1, 1}, no_padding = {0, 0};
  return at::conv2d(padded, weight, at::Tensor(), step, no_padding, step, x.size(1));
}

// Which step takes each pixel: int64 [h,w], 0 for the hottest share of them. Equal heat goes as a second map says,
// whose cells are drawn: in row order a map that is 0 nearly everywhere would take the picture away from the top down,
// which leaves the rest in one piece and is gentler than any order of places.
at::Tensor step_of_pixels(const at::Tensor& heat, int64_t height, int64_t width, int64_t steps) {
  const auto fine = [&](const at::Tensor& map) {
    return at::upsample_bilinear2d(map.to(at::kCPU, at::kFloat).unsqueeze(0).unsqueeze(0), {height, width}, false)
        .flatten();
  };
  const auto hottest_first = [](const at::Tensor& values) {
    return at::argsort(values, /*stable=*/true, /*dim=*/0, /*descending=*/true);
  };
  const auto drawn = at::rand(heat.sizes(), at::make_generator<at::CPUGeneratorImpl>(kSeedOfEqualHeat), at::kFloat);
  const auto among_equals = hottest_first(fine(drawn));
  const auto order = among_equals.index_select(0, hottest_first(fine(heat).index_select(0, among_equals)));
  const auto ranks = at::empty_like(order).scatter_(0, order, at::arange(order.size(0), at::kLong));
  return (ranks * steps).div(order.size(0), "floor").view({height, width});
}

// Probability of the class as the pixels of `to` replace those of `from`, a step more each time.
std::vector<double> curve(ImageModel& model, const at::Tensor& from, const at::Tensor& to, const at::Tensor& steps_of,
                          int64_t target, const FaithfulnessOptions& options) {
  std::vector<double> probabilities;
  for (int64_t first = 0; first <= options.steps; first += options.batch) {
    std::vector<at::Tensor> pictures;
    for (int64_t step = first; step <= std::min(options.steps, first + options.batch - 1); ++step) {
      pictures.push_back(at::where(steps_of.lt(step), to, from));
    }
    const auto logits = model.forward(at::cat(pictures)).to(at::kCPU, at::kFloat);
    require_class(target, logits.size(1));
    const auto all = options.multi_label ? logits.sigmoid() : logits.softmax(1);
    const auto scores = all.select(1, target).contiguous();
    probabilities.insert(probabilities.end(), scores.const_data_ptr<float>(),
                         scores.const_data_ptr<float>() + scores.numel());
  }
  return probabilities;
}

double area(const std::vector<double>& curve) {
  const double ends = (curve.front() + curve.back()) / 2;
  return (std::accumulate(curve.begin(), curve.end(), 0.0) - ends) / static_cast<double>(curve.size() - 1);
}

// [n] → the place of each value in their order, equal ones at the mean of theirs; float64.
at::Tensor mean_ranks(const at::Tensor& values) {
  const auto [sorted, inverse, counts] = at::_unique2(values, /*sorted=*/true, /*return_inverse=*/true, true);
  const auto last = counts.cumsum(0).to(at::kDouble);
  return (last - (counts.to(at::kDouble) - 1) / 2).index_select(0, inverse);
}

}  // namespace

Faithfulness faithfulness(ImageModel& model, const at::Tensor& x, const at::Tensor& heat, int64_t target,
                          const FaithfulnessOptions& options) {
  require(options.steps > 0 && options.batch > 0 && options.blur > 0, ErrorKind::usage,
          "faithfulness: steps {}, batch {} and blur {} must be positive", options.steps, options.batch, options.blur);
  require(x.dim() == 4 && x.size(0) == 1 && heat.dim() == 2, ErrorKind::data,
          "faithfulness: expected an image [1,3,h,w] and heat [h,w], got {} and {}", shape_text(x), shape_text(heat));
  const at::NoGradGuard no_grad;
  const auto steps_of = step_of_pixels(heat, x.size(2), x.size(3), options.steps).to(x.device());
  const double sigma = options.blur * static_cast<double>(std::min(x.size(2), x.size(3)));
  const auto blurred = blur_along(blur_along(x, 2, sigma), 3, sigma);
  Faithfulness result;
  result.deletion = curve(model, x, at::zeros_like(x), steps_of, target, options);
  result.insertion = curve(model, blurred, x, steps_of, target, options);
  result.deletion_area = area(result.deletion);
  result.insertion_area = area(result.insertion);
  return result;
}

bool points_into(const at::Tensor& heat, const Box& box) {
  require(heat.dim() == 2 && heat.numel() > 0, ErrorKind::data, "points_into: expected heat [h,w], got {}",
          shape_text(heat));
  const int64_t peak = heat.argmax().item<int64_t>();
  const double x = (static_cast<double>(peak % heat.size(1)) + 0.5) / static_cast<double>(heat.size(1));
  const double y = (static_cast<double>(peak / heat.size(1)) + 0.5) / static_cast<double>(heat.size(0));
  return x >= box.left && x < box.right && y >= box.top && y < box.bottom;
}

double agreement(const at::Tensor& a, const at::Tensor& b) {
  require(a.sizes() == b.sizes() && a.numel() > 0, ErrorKind::data,
          "agreement: expected two maps of one size, got {} and {}", shape_text(a), shape_text(b));
  const auto centred = [](const at::Tensor& map) {
    const auto ranks = mean_ranks(map.flatten());
    return ranks - ranks.mean();
  };
  const auto ranks_a = centred(a), ranks_b = centred(b);
  const double norms = (ranks_a.norm() * ranks_b.norm()).item<double>();
  return norms > 0 ? ranks_a.dot(ranks_b).item<double>() / norms : 0;
}

std::vector<std::string> randomise_last_layers(torch::nn::Module& model, int64_t count, uint64_t seed) {
  require(count >= 0, ErrorKind::usage, "randomise_last_layers: count {} is negative", count);
  std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> owners;
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    if (!item.value()->parameters(/*recurse=*/false).empty()) owners.emplace_back(item.key(), item.value());
  }
  const auto first = owners.size() - std::min(owners.size(), static_cast<size_t>(count));
  const at::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  std::vector<std::string> paths;
  for (size_t i = first; i < owners.size(); ++i) {
    paths.push_back(owners[i].first);
    for (at::Tensor& parameter : owners[i].second->parameters(/*recurse=*/false)) {
      const auto plain = parameter.detach().to(at::kDouble);
      const double deviation = plain.numel() > 1 ? plain.std().item<double>() : 0;
      parameter.copy_(
          at::empty(parameter.sizes(), at::kDouble).normal_(plain.mean().item<double>(), deviation, generator));
    }
  }
  return paths;
}

std::shared_ptr<torch::nn::Module> randomised_copy(ImageModel& model, uint64_t seed) {
  auto copy = model.module().clone();
  randomise_last_layers(*copy, std::numeric_limits<int64_t>::max(), seed);
  copy->eval();
  return copy;
}

}  // namespace fovea
