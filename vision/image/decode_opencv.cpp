#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <limits>

#include "fovea/modules/error.h"
#include "fovea/vision/image/backend.h"

namespace fovea {
namespace {

// Once in a process: OpenCV's own pool of threads would compete with LibTorch's, and its log would stand beside our
// one line of error.
void quiet_opencv() {
  static const bool once = [] {
    cv::setNumThreads(1);
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    return true;
  }();
  static_cast<void>(once);
}

// 16 bit BGR → RGB: the high byte as Pillow takes it, greyscale scaled over the whole range.
void narrow(const cv::Mat& words, bool grey, Image& image) {
  const auto byte = [grey](uint16_t value) { return static_cast<uint8_t>(grey ? (value + 128) / 257 : value >> 8); };
  for (int y = 0; y < words.rows; ++y) {
    uint8_t* out = image.row(y);
    for (int x = 0; x < words.cols; ++x) {
      const auto& bgr = words.at<cv::Vec3w>(y, x);
      for (int c = 0; c < 3; ++c) *out++ = byte(bgr[2 - c]);
    }
  }
}

}  // namespace

Image decode_pixels(std::span<const uint8_t> bytes, const ImageHeader& header) {
  quiet_opencv();
  const std::string_view format = format_name(header.format);
  require(bytes.size() <= static_cast<size_t>(std::numeric_limits<int>::max()), ErrorKind::resource,
          "{} of {} bytes: OpenCV takes up to 2 GiB", format, bytes.size());
  const bool wide = header.bit_depth == 16;
  const bool swapped = header.format == ImageFormat::tiff && header.orientation >= 5;  // libtiff turns the picture
  Image image{.width = swapped ? header.height : header.width, .height = swapped ? header.width : header.height};
  image.pixels.resize(image.width * image.height * 3);
  const cv::Mat file(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<uint8_t*>(bytes.data()));
  // Decoded straight into the result where 8 bits come out.
  cv::Mat target(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3, image.pixels.data());
  cv::Mat decoded = wide ? cv::Mat() : target;
  try {
    const int flags = cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION | (wide ? cv::IMREAD_ANYDEPTH : 0);
    const bool ok = !cv::imdecode(file, flags, &decoded).empty();
    require(ok && decoded.size() == target.size() && decoded.type() == (wide ? CV_16UC3 : CV_8UC3), ErrorKind::data,
            "broken {}: cannot be decoded", format);
    if (wide) {
      narrow(decoded, header.channels == 1, image);
    } else {
      cv::cvtColor(decoded, target, cv::COLOR_BGR2RGB);
    }
  } catch (const cv::Exception& error) {
    require(error.code != cv::Error::StsNoMem, ErrorKind::resource, "{}: {}", format, printable(error.err));
    fail(ErrorKind::data, "broken {}: {}", format, printable(error.err));
  }
  return image;
}

}  // namespace fovea
