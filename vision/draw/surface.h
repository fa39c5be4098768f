// Where plots are drawn: pixels or SVG, from one description.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "fovea/vision/draw/text.h"
#include "fovea/vision/image/image.h"

namespace fovea {

using Color = std::array<uint8_t, 3>;  // RGB

struct PlotPoint {
  double x = 0;
  double y = 0;
};

class Surface {
 public:
  virtual ~Surface() = default;
  virtual void fill(double left, double top, double width, double height, const Color& color) = 0;
  // A line whose middle is at y, as put_text.
  virtual void text(const std::string& text, double x, double y, const TextStyle& style) = 0;
  // Through the points, two pixels wide; the name is for readers of the document.
  virtual void line(const std::vector<PlotPoint>& points, const Color& color, const std::string& name) = 0;
};

// White pixels.
class PixelSurface : public Surface {
 public:
  PixelSurface(double width, double height);
  void fill(double left, double top, double width, double height, const Color& color) override;
  void text(const std::string& text, double x, double y, const TextStyle& style) override;
  void line(const std::vector<PlotPoint>& points, const Color& color, const std::string& name) override;
  const Image& image() const { return image_; }

 private:
  Image image_;
};

// A document of SVG 1.1 that stands alone; its text is text, in the reader's sans-serif font.
class SvgSurface : public Surface {
 public:
  SvgSurface(double width, double height);
  void fill(double left, double top, double width, double height, const Color& color) override;
  void text(const std::string& text, double x, double y, const TextStyle& style) override;
  void line(const std::vector<PlotPoint>& points, const Color& color, const std::string& name) override;
  std::string document() const { return body_ + "</svg>\n"; }

 private:
  std::string body_;
};

}  // namespace fovea
