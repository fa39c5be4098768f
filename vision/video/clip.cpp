#include "fovea/vision/video/clip.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/output_file.h"
#include "fovea/vision/video/clip_format.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostFrames = 1'000'000'000;  // announced by streams that have no end

struct Container {
  const char* ending;
  const char* codec;  // four letters
  const char* name;
};
constexpr std::array<Container, 3> kContainers = {
    {{".mp4", "avc1", "H.264"}, {".mkv", "H264", "H.264"}, {".avi", "MJPG", "Motion JPEG"}}};

// Once in a process, before OpenCV looks: what FFmpeg and OpenCV have to say would stand beside our one line of error.
void quiet_videoio() {
  static const bool once = [] {
    cv::setNumThreads(1);
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    setenv("OPENCV_FFMPEG_LOGLEVEL", "-8", /*overwrite=*/0);
    return true;
  }();
  static_cast<void>(once);
}

// Of a file: a relative name with a colon would be taken for an address.
std::string address_of(const fs::path& path) {
  return fs::absolute(path).string();
}

// Calls of OpenCV whose failures are those of the file `name`.
template <typename Call>
auto videoio(const std::string& name, Call call) {
  try {
    return call();
  } catch (const cv::Exception& error) {
    require(error.code != cv::Error::StsNoMem, ErrorKind::resource, "{}: {}", name, printable(error.err));
    fail(ErrorKind::data, "{}: {}", name, printable(error.err));
  }
}

int64_t announced_frames(const cv::VideoCapture& capture) {
  const double count = capture.get(cv::CAP_PROP_FRAME_COUNT);
  return count >= 1 && count < static_cast<double>(kMostFrames) ? std::llround(count) : 0;
}

class CaptureSource : public FrameSource {
 public:
  CaptureSource(std::string name, cv::VideoCapture capture, int64_t max_pixels, bool live)
      : name_(std::move(name)), capture_(std::move(capture)), live_(live) {
    const double width = capture_.get(cv::CAP_PROP_FRAME_WIDTH), height = capture_.get(cv::CAP_PROP_FRAME_HEIGHT);
    require(width * height <= static_cast<double>(max_pixels), ErrorKind::resource,
            "{}: {:.0f}x{:.0f} exceeds limit {:.4g} Mpx (--max-pixels)", name_, width, height,
            static_cast<double>(max_pixels) / 1e6);
    const double rate = capture_.get(cv::CAP_PROP_FPS);
    frame_rate_ = std::isfinite(rate) && rate > 0 ? rate : 0;
    announced_ = live ? 0 : announced_frames(capture_);
  }

  double frame_rate() const override { return frame_rate_; }
  int64_t frames() const override { return announced_; }

  std::optional<Image> read() override {
    cv::Mat bgr;
    const bool more = videoio(name_, [&] { return capture_.read(bgr); });
    if (!more || bgr.empty()) {
      check_end();
      return std::nullopt;
    }
    require(bgr.type() == CV_8UC3, ErrorKind::data, "{}: frames are no colours of 8 bits", name_);
    require(read_ == 0 || bgr.size() == size_, ErrorKind::data, "{}: frame {} is {}x{}, those before are {}x{}", name_,
            read_, bgr.cols, bgr.rows, size_.width, size_.height);
    size_ = bgr.size();
    ++read_;
    Image image{.width = bgr.cols, .height = bgr.rows};
    image.pixels.resize(image.width * image.height * 3);
    cv::Mat rgb(bgr.rows, bgr.cols, CV_8UC3, image.pixels.data());
    cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
    return image;
  }

 private:
  void check_end() const {
    require(read_ > 0, live_ ? ErrorKind::io : ErrorKind::data, "{}: no frame can be read", name_);
    const int64_t slack = std::max<int64_t>(1, announced_ / 20);
    require(read_ + slack >= announced_, ErrorKind::data, "{}: cut off or damaged: {} of {} frames can be read", name_,
            read_, announced_);
  }

  std::string name_;
  cv::VideoCapture capture_;
  bool live_;
  double frame_rate_ = 0;
  int64_t announced_ = 0;
  int64_t read_ = 0;
  cv::Size size_;
};

// Throws Error(io) with the system's reason.
void check_readable(const std::string& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  const std::string name = printable(path);
  require(!error && fs::exists(status), ErrorKind::io, "{}: {}", name, error ? error.message() : std::strerror(ENOENT));
  require(!fs::is_directory(status), ErrorKind::io, "{}: is a directory", name);
  errno = 0;
  const bool opened = std::ifstream(path, std::ios::binary).is_open();
  require(opened, ErrorKind::io, "{}: {}", name, std::strerror(errno != 0 ? errno : EIO));
}

// OpenCV opens the file by its name, so that its temporary name ends as the target does.
class ClipSink : public FrameSink {
 public:
  ClipSink(const std::string& path, double frame_rate, const Container& container)
      : name_(printable(path)), file_(path, 0, container.ending), frame_rate_(frame_rate), container_(container) {}

  void write(const Image& frame) override {
    const cv::Size size(static_cast<int>(frame.width), static_cast<int>(frame.height));
    require(frame.channels == 3 && (written_ == 0 || size == size_), ErrorKind::data,
            "{}: frame {} is {}x{}x{}, those before are {}x{}x3", name_, written_, size.width, size.height,
            frame.channels, size_.width, size_.height);
    size_ = size;
    const cv::Mat rgb(size, CV_8UC3, const_cast<uint8_t*>(frame.pixels.data()));  // only read
    cv::Mat bgr, even;
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
    cv::copyMakeBorder(bgr, even, 0, size.height % 2, 0, size.width % 2, cv::BORDER_CONSTANT, {255, 255, 255});
    if (written_ == 0) open(even.size());
    videoio(name_, [&] { writer_.write(even); });
    ++written_;
  }

  void commit() override {
    require(written_ > 0, ErrorKind::data, "{}: there are no frames to write", name_);
    writer_.release();
    const int64_t found = frames_in_file();
    require(found == written_, ErrorKind::io, "{}: cannot write: {} of {} frames are in the file (is the disk full?)",
            name_, found, written_);
    file_.commit();
  }

 private:
  void open(const cv::Size& size) {
    const char* c = container_.codec;
    const bool opened = videoio(name_, [&] {
      return writer_.open(address_of(file_.temporary()), cv::CAP_FFMPEG,
                          cv::VideoWriter::fourcc(c[0], c[1], c[2], c[3]), frame_rate_, size);
    });
    require(opened, ErrorKind::io, "{}: cannot write: OpenCV's FFmpeg writes no {} of {}x{} in {}", name_,
            container_.name, size.width, size.height, container_.ending);
  }

  // By reading them: a header may count frames that the disk had no room for.
  int64_t frames_in_file() const {
    cv::VideoCapture capture;
    return videoio(name_, [&] {
      int64_t count = 0;
      if (capture.open(address_of(file_.temporary()), cv::CAP_FFMPEG)) {
        while (capture.grab()) ++count;
      }
      return count;
    });
  }

  std::string name_;
  OutputFile file_;
  double frame_rate_;
  Container container_;
  cv::VideoWriter writer_;
  cv::Size size_;
  int64_t written_ = 0;
};

}  // namespace

std::unique_ptr<FrameSource> open_clip(const std::string& path, int64_t max_pixels) {
  quiet_videoio();
  check_readable(path);
  const std::string name = printable(path);
  require(!clip_format_of(path).empty(), ErrorKind::data, "{}: no clip (MP4, Matroska, WebM and AVI are)", name);
  cv::VideoCapture capture;
  const bool opened = videoio(name, [&] { return capture.open(address_of(path), cv::CAP_FFMPEG); });
  require(opened, ErrorKind::data, "{}: cut off, damaged, or of a codec that is not known", name);
  return std::make_unique<CaptureSource>(name, std::move(capture), max_pixels, /*live=*/false);
}

std::unique_ptr<FrameSource> open_camera(const std::string& name, int64_t max_pixels) {
  quiet_videoio();
  const bool number = !name.empty() && name.size() < 4 &&
                      std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  const std::string shown = "camera " + printable(name);
  cv::VideoCapture capture;
  const bool opened = videoio(shown, [&] {
    if (number) return capture.open(std::atoi(name.c_str()), cv::CAP_V4L2);
    return capture.open(name, name.starts_with("/dev/") ? cv::CAP_V4L2 : cv::CAP_FFMPEG);
  });
  require(opened, ErrorKind::io, "{}: there is none that can be opened", shown);
  return std::make_unique<CaptureSource>(shown, std::move(capture), max_pixels, /*live=*/true);
}

std::unique_ptr<FrameSink> create_clip(const std::string& path, double frame_rate) {
  quiet_videoio();
  const auto found = std::ranges::find(kContainers, fs::path(path).extension().string(), &Container::ending);
  require(found != kContainers.end(), ErrorKind::usage, "{}: the name of a clip ends in .mp4, .mkv or .avi",
          printable(path));
  return std::make_unique<ClipSink>(path, frame_rate, *found);
}

}  // namespace fovea
