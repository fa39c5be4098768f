#include "fovea/vision/draw/surface.h"

#include <fmt/format.h>

#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "fovea/vision/draw/canvas.h"

namespace fovea {
namespace {

std::string hex(const Color& color) {
  return fmt::format("#{:02x}{:02x}{:02x}", color[0], color[1], color[2]);
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else {
      result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return result;
}

}  // namespace

PixelSurface::PixelSurface(double width, double height)
    : image_(blank_image(std::llround(std::ceil(width)), std::llround(std::ceil(height)))) {}

void PixelSurface::fill(double left, double top, double width, double height, const Color& color) {
  const auto edge = [](double value) { return static_cast<int>(std::lround(value)); };
  const cv::Rect box(cv::Point(edge(left), edge(top)), cv::Point(edge(left + width), edge(top + height)));
  view(image_)(box & cv::Rect(0, 0, static_cast<int>(image_.width), static_cast<int>(image_.height)))
      .setTo(cv::Vec3b(color[0], color[1], color[2]));
}

void PixelSurface::text(const std::string& text, double x, double y, const TextStyle& style) {
  cv::Mat canvas = view(image_);
  put_text(canvas, text, x, y, style);
}

void PixelSurface::line(const std::vector<PlotPoint>& points, const Color& color, const std::string&) {
  constexpr int bits = 4;  // of fractions of a pixel
  std::vector<cv::Point> places;
  for (const PlotPoint& point : points) {
    // OpenCV's pixels have their centres at whole numbers.
    places.emplace_back(static_cast<int>(std::lround((point.x - 0.5) * (1 << bits))),
                        static_cast<int>(std::lround((point.y - 0.5) * (1 << bits))));
  }
  cv::polylines(view(image_), places, /*isClosed=*/false, cv::Scalar(color[0], color[1], color[2]), 2, cv::LINE_AA,
                bits);
}

SvgSurface::SvgSurface(double width, double height)
    : body_(fmt::format(
          "<!-- written by fovea -->\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
          "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"sans-serif\">\n"
          "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
          std::ceil(width), std::ceil(height))) {}

void SvgSurface::fill(double left, double top, double width, double height, const Color& color) {
  body_ += fmt::format("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\"/>\n", left, top,
                       width, height, hex(color));
}

void SvgSurface::text(const std::string& text, double x, double y, const TextStyle& style) {
  const bool middle = style.upward || style.align == Align::center;
  const char* anchor = middle ? "middle" : style.align == Align::left ? "start" : "end";
  const std::string turn = style.upward ? fmt::format(" transform=\"rotate(-90 {:.2f} {:.2f})\"", x, y) : "";
  body_ += fmt::format(
      "<text x=\"{:.2f}\" y=\"{:.2f}\" font-size=\"{:.2f}\" text-anchor=\"{}\" dominant-baseline=\"central\" "
      "fill=\"{}\"{}>{}</text>\n",
      x, y, style.em, anchor, hex(style.color), turn, escaped(text));
}

void SvgSurface::line(const std::vector<PlotPoint>& points, const Color& color, const std::string& name) {
  body_ += fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"", hex(color));
  for (const PlotPoint& point : points) body_ += fmt::format("{:.2f},{:.2f} ", point.x, point.y);
  body_.back() = '"';
  body_ += fmt::format("><title>{}</title></polyline>\n", escaped(name));
}

}  // namespace fovea
