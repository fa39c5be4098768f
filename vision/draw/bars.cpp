#include <algorithm>
#include <cmath>
#include <numeric>
#include <opencv2/imgproc.hpp>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/canvas.h"
#include "fovea/vision/draw/draw.h"
#include "fovea/vision/draw/layout.h"

namespace fovea {
namespace {

const cv::Vec3b kInk(30, 30, 30);
const cv::Vec3b kGrid(222, 222, 222);
const cv::Vec3b kBar(38, 110, 150);
const cv::Vec3b kMean(200, 70, 30);

struct Gate {
  int64_t channel = 0;
  double value = 0;
};

// Strongest first; equal ones in order of their channels.
std::vector<Gate> sorted_gates(const at::Tensor& values) {
  std::vector<Gate> gates(values.numel());
  const float* value = values.const_data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i) gates[i] = {.channel = i, .value = value[i]};
  std::stable_sort(gates.begin(), gates.end(), [](const Gate& a, const Gate& b) { return a.value > b.value; });
  return gates;
}

// The field of the chart: gates upward from 0 to `top`, channels to the right.
struct Chart {
  cv::Mat& canvas;
  const Layout& layout;
  double top = 1;

  int64_t line() const { return std::max<int64_t>(1, std::lround(layout.em / 14)); }
  int64_t y(double value) const {
    const PixelBox& field = layout.panel;
    return field.top + field.height - std::lround(value / top * static_cast<double>(field.height));
  }
  void fill(int64_t left, int64_t from, int64_t right, int64_t to, const cv::Vec3b& color) const {
    const cv::Rect box(cv::Point(left, from), cv::Point(right, to));
    canvas(box & cv::Rect(0, 0, canvas.cols, canvas.rows)).setTo(color);
  }
};

void draw_axes(const Chart& chart, int64_t channels) {
  const PixelBox& field = chart.layout.panel;
  const double em = chart.layout.em * 0.9;
  const int64_t bottom = field.top + field.height;
  constexpr int kTicks = 5;
  for (int i = 0; i < kTicks; ++i) {
    const double value = chart.top * i / (kTicks - 1);
    const int64_t y = chart.y(value);
    chart.fill(field.left, y, field.left + field.width, y + chart.line(), kGrid);
    put_text(chart.canvas, number_text(value), field.left - em / 2, static_cast<double>(y),
             {.em = em, .align = Align::right});
  }
  put_text(chart.canvas, "gate", field.left - 3.4 * em, field.top + field.height / 2.0, {.em = em, .upward = true});
  put_text(chart.canvas, "1", field.left, bottom + em, {.em = em});
  put_text(chart.canvas, fmt::format("{}", channels), field.left + field.width, bottom + em,
           {.em = em, .align = Align::right});
  put_text(chart.canvas, "rank of the channel, strongest gate first", field.left + field.width / 2.0, bottom + em,
           {.em = em, .align = Align::center});
}

void draw_gates(const Chart& chart, const std::vector<Gate>& gates) {
  const PixelBox& field = chart.layout.panel;
  const auto count = static_cast<int64_t>(gates.size());
  const bool apart = field.width >= 4 * count;  // gaps between bars where there is room for them
  for (int64_t x = 0; x < field.width; ++x) {
    const int64_t rank = x * count / field.width;
    if (apart && (x + 1) * count / field.width != rank) continue;
    chart.fill(field.left + x, chart.y(gates[rank].value), field.left + x + 1, field.top + field.height, kBar);
  }
  chart.fill(field.left, field.top + field.height, field.left + field.width, field.top + field.height + chart.line(),
             kInk);
}

void draw_mean(const Chart& chart, double mean) {
  const PixelBox& field = chart.layout.panel;
  const double em = chart.layout.em * 0.9;
  const int64_t y = chart.y(mean);
  const int64_t dash = std::max<int64_t>(2, std::lround(em / 2));
  for (int64_t x = 0; x < field.width; x += 2 * dash) {
    chart.fill(field.left + x, y, field.left + std::min(x + dash, field.width), y + chart.line(), kMean);
  }
  // Above the line at the right end, where the bars are lowest.
  put_text(chart.canvas, "mean " + number_text(mean), field.left + field.width - em / 2, static_cast<double>(y) - em,
           {.em = em, .align = Align::right, .color = {kMean[0], kMean[1], kMean[2]}});
}

// "strongest: 17 (0.98), 203 (0.97), …", as many as fit.
std::string list_gates(const std::string& name, auto first, auto last, const Layout& layout) {
  std::string text = name + ": ";
  for (auto gate = first; gate != last; ++gate) {
    const std::string more =
        fmt::format("{}{} ({})", gate == first ? "" : ", ", gate->channel, number_text(gate->value));
    if (text_width(text + more, layout.em * 0.9) > static_cast<double>(layout.panel.width)) break;
    text += more;
  }
  return text;
}

}  // namespace

Image draw_bars(const Image& original, const ChannelGates& gates, const BarOptions& options) {
  check_picture(original);
  require(gates.values.defined() && gates.values.dim() == 1 && gates.values.numel() > 0, ErrorKind::data,
          "draw_bars: expected gates [C], got {} dimensions", gates.values.defined() ? gates.values.dim() : 0);
  const at::Tensor values = gates.values.to(at::kCPU, at::kFloat).contiguous();
  require(values.isfinite().all().item<bool>(), ErrorKind::numeric, "draw_bars: the gates of {} hold NaN or infinity",
          gates.layer);
  const std::vector<Gate> sorted = sorted_gates(values);

  const std::string line = fmt::format("channel, {}, {} channels", gates.layer, sorted.size());
  const Layout layout = bars_layout(original.width, original.height, {options.title, line});
  Image result = blank_image(layout.width, layout.height);
  cv::Mat canvas = view(result);
  draw_title(canvas, layout);
  draw_picture(canvas, layout, original);
  const Chart chart{.canvas = canvas, .layout = layout, .top = std::max(1.0, sorted.front().value)};
  draw_axes(chart, static_cast<int64_t>(sorted.size()));
  draw_gates(chart, sorted);
  draw_mean(chart, values.mean().item<double>());
  const double below = static_cast<double>(layout.panel.top + layout.panel.height);
  const double em = layout.em * 0.9;
  put_text(canvas, list_gates("strongest", sorted.begin(), sorted.end(), layout), layout.panel.left,
           below + layout.em * 2.9, {.em = em});
  put_text(canvas, list_gates("weakest", sorted.rbegin(), sorted.rend(), layout), layout.panel.left,
           below + layout.em * 4.4, {.em = em});
  return result;
}

}  // namespace fovea
