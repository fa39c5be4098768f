#include "fovea/vision/draw/token_map.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

MatrixPanel matrix_panel(const at::Tensor& matrix, const std::string& title, const std::string& unit) {
  require(matrix.defined() && matrix.dim() == 2 && matrix.numel() > 0, ErrorKind::data,
          "matrix_panel: expected a matrix [N,M], got {}", shape_text(matrix));
  const at::Tensor values = matrix.to(at::kCPU, at::kDouble).contiguous();
  const double* first = values.const_data_ptr<double>();
  return {.title = title,
          .rows = values.size(0),
          .columns = values.size(1),
          .values = {first, first + values.numel()},
          .unit = unit};
}

std::vector<MatrixPanel> token_panels(const at::Tensor& weights, const TokenMapOptions& options) {
  require(weights.defined() && weights.dim() == 3 && weights.numel() > 0, ErrorKind::data,
          "token_panels: expected weights [H,N,M], got {}", shape_text(weights));
  const auto check = [](const char* what, const std::vector<std::string>& names, int64_t tokens) {
    require(names.empty() || std::ssize(names) == tokens, ErrorKind::data, "token_panels: {} names for {} {}",
            names.size(), tokens, what);
  };
  check("targets", options.targets, weights.size(1));
  check("sources", options.sources, weights.size(2));
  const int64_t heads = weights.size(0);
  require(!options.head || (*options.head >= 0 && *options.head < heads), ErrorKind::usage,
          "token_panels: head {}: there are heads 0…{}", options.head.value_or(0), heads - 1);

  const auto panel = [&](const at::Tensor& matrix, const std::string& title) {
    MatrixPanel one = matrix_panel(matrix, title, "attention weight");
    one.row_labels = options.targets;
    one.column_labels = options.sources;
    return one;
  };
  const auto of_head = [&](int64_t head) { return panel(weights[head], fmt::format("head {}", head)); };
  if (options.head) return {of_head(*options.head)};
  if (!options.each_head) return {panel(weights.mean(0), fmt::format("mean of {} heads", heads))};
  std::vector<MatrixPanel> panels;
  for (int64_t head = 0; head < heads; ++head) panels.push_back(of_head(head));
  return panels;
}

std::vector<std::string> token_names(const TokenGrid& grid) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < grid.prefix; ++i) names.push_back(i == 0 ? "CLS" : fmt::format("prefix {}", i));
  for (int64_t i = 0; i < grid.height * grid.width; ++i) {
    names.push_back(fmt::format("{},{}", i / grid.width, i % grid.width));
  }
  return names;
}

}  // namespace fovea
