#include "fovea/datasets/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fovea/modules/error.h"

namespace fovea {

struct GzipReader::Inflater {
  z_stream stream{};
  bool in_member = true;  // the first header has been promised by the magic
  Inflater() {
    constexpr int gzip_window = 15 + 16;  // zlib's code for "gzip header and trailer"
    require(inflateInit2(&stream, gzip_window) == Z_OK, ErrorKind::resource, "zlib: cannot start");
  }
  ~Inflater() { inflateEnd(&stream); }
};

GzipReader::GzipReader(const std::filesystem::path& path)
    : path_(path), file_(std::fopen(path.c_str(), "rbe"), &std::fclose), input_(size_t{1} << 16) {
  require(file_ != nullptr, ErrorKind::io, "{}: {}", printable(path.string()), std::strerror(errno));
  fill();
  constexpr uint8_t magic[] = {0x1F, 0x8B};
  if (end_ >= 2 && std::equal(magic, magic + 2, input_.data())) inflater_ = std::make_unique<Inflater>();
}

GzipReader::~GzipReader() = default;

bool GzipReader::fill() {
  begin_ = 0;
  end_ = std::fread(input_.data(), 1, input_.size(), file_.get());
  require(end_ > 0 || !std::ferror(file_.get()), ErrorKind::io, "{}: {}", printable(path_.string()),
          std::strerror(errno));
  return end_ > 0;
}

size_t GzipReader::read(std::span<uint8_t> to) {
  if (inflater_) return read_packed(to);
  size_t done = 0;
  while (done < to.size() && (begin_ < end_ || fill())) {
    const size_t part = std::min(to.size() - done, end_ - begin_);
    std::copy_n(input_.data() + begin_, part, to.data() + done);
    begin_ += part;
    done += part;
  }
  return done;
}

size_t GzipReader::read_packed(std::span<uint8_t> to) {
  z_stream& stream = inflater_->stream;
  size_t done = 0;
  while (done < to.size()) {
    if (begin_ == end_ && !fill()) {
      require(!inflater_->in_member, ErrorKind::data, "{}: truncated gzip file", printable(path_.string()));
      break;
    }
    if (!inflater_->in_member) {
      inflateReset(&stream);
      inflater_->in_member = true;
    }
    stream.next_in = input_.data() + begin_;
    stream.avail_in = static_cast<uInt>(end_ - begin_);
    const size_t room = std::min<size_t>(to.size() - done, UINT32_MAX);
    stream.next_out = to.data() + done;
    stream.avail_out = static_cast<uInt>(room);
    const int status = inflate(&stream, Z_NO_FLUSH);
    begin_ = end_ - stream.avail_in;
    done += room - stream.avail_out;
    if (status == Z_STREAM_END) {
      inflater_->in_member = false;
    } else {
      require(status == Z_OK || status == Z_BUF_ERROR, ErrorKind::data, "{}: damaged gzip file: {}",
              printable(path_.string()), stream.msg != nullptr ? stream.msg : "bad data");
    }
  }
  return done;
}

}  // namespace fovea
