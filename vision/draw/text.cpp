#include "fovea/vision/draw/text.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

namespace fovea {
namespace {

// OpenCV's stroke fonts are drawn this many times larger and averaged down: at 12 pixels they are smooth only so.
constexpr int kOversample = 4;
constexpr int kFont = cv::FONT_HERSHEY_DUPLEX;
constexpr double kCapHeight = 22.0;  // pixels of a capital in that font at scale 1

double font_scale(double em) {
  return em * kOversample * 0.72 / kCapHeight;
}
int stroke(double em) {
  return std::max(1, static_cast<int>(std::lround(em * kOversample / 13)));
}

std::string ascii(const std::string& text) {
  std::string result;
  for (const unsigned char byte : text) {
    if (byte < 0x80) {
      result += byte < 0x20 || byte == 0x7f ? '?' : static_cast<char>(byte);
    } else if (byte >= 0xc0) {  // the first byte of a character of UTF-8
      result += '?';
    }
  }
  return result;
}

cv::Size large_size(const std::string& text, double em, int* baseline) {
  return cv::getTextSize(text, kFont, font_scale(em), stroke(em), baseline);
}

// Coverage 0…255 of a line of text, the capital's middle at the middle row.
cv::Mat text_mask(const std::string& text, double em) {
  int baseline = 0;
  const cv::Size size = large_size(text, em, &baseline);
  const int half = size.height / 2 + baseline + kOversample * 2;
  const auto whole = [](int value) { return (value + kOversample - 1) / kOversample * kOversample; };
  cv::Mat large = cv::Mat::zeros(whole(2 * half), whole(size.width + kOversample), CV_8UC1);
  cv::putText(large, text, {0, large.rows / 2 + size.height / 2}, kFont, font_scale(em), cv::Scalar(255), stroke(em),
              cv::LINE_8);
  cv::Mat mask;
  cv::resize(large, mask, {large.cols / kOversample, large.rows / kOversample}, 0, 0, cv::INTER_AREA);
  return mask;
}

}  // namespace

double text_width(const std::string& text, double em) {
  int baseline = 0;
  return static_cast<double>(large_size(ascii(text), em, &baseline).width) / kOversample;
}

std::vector<std::string> wrap_text(const std::string& text, double em, double width) {
  std::vector<std::string> lines;
  std::string line;
  const auto finish = [&] {
    if (line.empty()) return;
    if (text_width(line, em) > width) {
      while (!line.empty() && text_width(line + "...", em) > width) line.pop_back();
      line += "...";
    }
    lines.push_back(line);
    line.clear();
  };
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(' ', start), text.size());
    const std::string word = text.substr(start, end - start);
    if (!line.empty() && text_width(line + " " + word, em) > width) finish();
    line += (line.empty() ? "" : " ") + word;
    start = end + 1;
  }
  finish();
  return lines;
}

void put_text(cv::Mat& canvas, const std::string& text, double x, double y, const TextStyle& style) {
  if (text.empty()) return;
  cv::Mat mask = text_mask(ascii(text), style.em);
  double left = x;
  if (style.upward) {
    cv::rotate(mask, mask, cv::ROTATE_90_COUNTERCLOCKWISE);
    left = x - mask.cols / 2.0;
  } else if (style.align != Align::left) {
    left = style.align == Align::center ? x - mask.cols / 2.0 : x - mask.cols;
  }
  const cv::Rect place(static_cast<int>(std::lround(left)), static_cast<int>(std::lround(y - mask.rows / 2.0)),
                       mask.cols, mask.rows);
  const cv::Rect inside = place & cv::Rect(0, 0, canvas.cols, canvas.rows);
  for (int row = inside.y; row < inside.y + inside.height; ++row) {
    for (int column = inside.x; column < inside.x + inside.width; ++column) {
      const int cover = mask.at<uint8_t>(row - place.y, column - place.x);
      cv::Vec3b& pixel = canvas.at<cv::Vec3b>(row, column);
      for (int c = 0; c < 3; ++c) {
        pixel[c] = static_cast<uint8_t>((pixel[c] * (255 - cover) + style.color[c] * cover + 127) / 255);
      }
    }
  }
}

}  // namespace fovea
