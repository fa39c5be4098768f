#include "fovea/vision/explain/class_activation.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

const char* method_name(CamKind kind) {
  switch (kind) {
    case CamKind::grad_cam:
      return "gradcam";
    case CamKind::grad_cam_plus_plus:
      return "gradcam++";
    case CamKind::layer_cam:
      return "layercam";
    case CamKind::eigen_cam:
      return "eigencam";
  }
  return "";
}

// One image of an output or its gradient → [C,h,w].
at::Tensor as_grid(const LayerOutput& output, const at::Tensor& values, int64_t image) {
  const at::Tensor own = values[image].to(at::kCPU, at::kFloat);
  if (own.dim() == 3) return output.channel_dim == 1 ? own : own.permute({2, 0, 1});
  const auto& [height, width, prefix] = output.grid;
  require(own.dim() == 2 && own.size(0) == prefix + height * width, ErrorKind::data,
          "{}: {} of one image do not fit a grid of {}x{} and {} prefix tokens", output.path, shape_text(own), height,
          width, prefix);
  return own.slice(0, prefix).t().reshape({own.size(1), height, width});
}

at::Tensor principal_axis(const at::Tensor& features) {
  const at::Tensor places = features.flatten(1).t();  // [h·w,C]
  const at::Tensor centred = places - places.mean(0, /*keepdim=*/true);
  const at::Tensor axis = std::get<2>(at::linalg_svd(centred, /*full_matrices=*/false))[0];
  const at::Tensor along = at::mv(centred, axis);
  const at::Tensor strength = places.norm(2, {1}) - places.norm(2, {1}).mean();
  const double sign = along.dot(strength).item<double>() < 0 ? -1 : 1;
  return (sign * along).view({features.size(1), features.size(2)});
}

at::Tensor plus_plus_weights(const at::Tensor& features, const at::Tensor& gradient) {
  constexpr double epsilon = 1e-6;
  const at::Tensor square = gradient.square();
  const at::Tensor total = features.sum({1, 2}, /*keepdim=*/true);
  const at::Tensor alpha = square / (2 * square + total * square * gradient + epsilon);
  return (at::where(gradient.ne(0), alpha, at::zeros_like(alpha)) * gradient.clamp_min(0)).sum({1, 2}, true);
}

at::Tensor heat(CamKind kind, const at::Tensor& features, const at::Tensor& gradient) {
  switch (kind) {
    case CamKind::grad_cam:
      return (gradient.mean({1, 2}, /*keepdim=*/true) * features).sum(0);
    case CamKind::grad_cam_plus_plus:
      return (plus_plus_weights(features, gradient) * features).sum(0);
    case CamKind::layer_cam:
      return (gradient.clamp_min(0) * features).sum(0);
    case CamKind::eigen_cam:
      return principal_axis(features);
  }
  fail(ErrorKind::internal, "class_activation: no such kind");
}

}  // namespace

HeatMap class_activation(const LayerOutput& output, CamKind kind, int64_t image) {
  const int64_t batch = output.value.size(0);
  require(image >= 0 && image < batch, ErrorKind::usage, "image {}: the batch of {} has images 0…{}", image,
          output.path, batch - 1);
  at::Tensor gradient;
  if (kind != CamKind::eigen_cam) {
    require(output.gradient.defined(), ErrorKind::usage, "{}: no gradient reached the output of {}", method_name(kind),
            output.path);
    gradient = as_grid(output, output.gradient, image);
  }
  const at::Tensor values = heat(kind, as_grid(output, output.value, image), gradient).clamp_min(0);
  return {.values = values.contiguous(),
          .method = method_name(kind),
          .layer = output.path,
          .detail = "",
          .unit = kind == CamKind::eigen_cam ? "length along the main axis" : "evidence for the class"};
}

}  // namespace fovea
