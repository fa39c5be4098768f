#include "fovea/vision/lens/lens.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "fovea/modules/error.h"
#include "fovea/modules/kernels/cpu/attention.h"
#include "fovea/vision/lens/workers.h"

namespace fovea {
namespace {

constexpr int64_t kQueriesOfTask = 256;
constexpr int64_t kTileSide = 12;  // of the tokens that share the keys of a window

// A rectangle of tokens.
struct Area {
  int64_t top = 0, left = 0, bottom = 0, right = 0;  // the last two lie behind the end

  int64_t columns() const { return right - left; }
  int64_t count() const { return (bottom - top) * columns(); }
};

class PatchAttention {
 public:
  PatchAttention(const Image& looking, const Image& seen, const LensOptions& options)
      : looking_(looking, options.patches), seen_(seen, options.patches), window_(options.window) {
    require(std::isfinite(options.temperature) && options.temperature > 0, ErrorKind::usage,
            "lens: expected a temperature above 0, got {}", options.temperature);
    require(!window_ || *window_ >= 0, ErrorKind::usage, "lens: expected a window of 0 or more, got {}",
            window_.value_or(0));
    require(!window_ || (looking_.rows() == seen_.rows() && looking_.columns() == seen_.columns()), ErrorKind::usage,
            "lens: a window needs pictures of one size, got {}x{} and {}x{} tokens", looking_.columns(),
            looking_.rows(), seen_.columns(), seen_.rows());
    for (const double share : seen_.shares()) {
      weights_.push_back(1 / (static_cast<double>(seen_.width()) * share * options.temperature));
    }
  }

  const Patches& looking() const { return looking_; }
  const Patches& seen() const { return seen_; }
  int64_t heads() const { return static_cast<int64_t>(weights_.size()); }

  // The tokens that any of these see.
  Area seen_from(const Area& queries) const {
    if (!window_) return {0, 0, seen_.rows(), seen_.columns()};
    return {std::max<int64_t>(0, queries.top - *window_), std::max<int64_t>(0, queries.left - *window_),
            std::min(seen_.rows(), queries.bottom + *window_), std::min(seen_.columns(), queries.right + *window_)};
  }

  // By the formula, in double: [heads, tokens of seen].
  std::vector<double> row(int64_t query) const {
    const int64_t width = seen_.width(), part = width / heads(), count = seen_.count();
    std::vector<float> mine(width), other(width);
    looking_.describe(query, mine.data());
    const int64_t y = query / looking_.columns(), x = query % looking_.columns();
    const Area area = seen_from({y, x, y + 1, x + 1});
    std::vector<double> weights(heads() * count, -INFINITY);
    for (int64_t i = 0; i < area.count(); ++i) {
      const int64_t token = token_of(area, i);
      seen_.describe(token, other.data());
      for (int64_t h = 0; h < heads(); ++h) {
        double distance = 0;
        for (int64_t c = h * part; c < (h + 1) * part; ++c) {
          const double difference = static_cast<double>(mine[c]) - other[c];
          distance += difference * difference;
        }
        weights[h * count + token] = -weights_[h] * distance;
      }
    }
    for (int64_t h = 0; h < heads(); ++h) {
      const auto first = weights.begin() + h * count, last = first + count;
      const double top = *std::max_element(first, last);
      double sum = 0;
      for (auto weight = first; weight != last; ++weight) sum += * weight = std::exp(*weight - top);
      for (auto weight = first; weight != last; ++weight) *weight /= sum;
    }
    return weights;
  }

  // Of some tokens, as the kernel takes them. Channels are counted from the mean of these tokens, which keeps the dot
  // products small beside their differences.
  struct Keys {
    Area area;
    std::vector<float> center;   // [width]
    std::vector<float> rows;     // [tokens, heads, width/heads + 1]: k, −‖k‖²
    std::vector<float> squares;  // [tokens, 3·stride²]
  };

  Keys keys(const Area& area) const {
    const int64_t width = seen_.width(), values = seen_.value_width(), count = area.count();
    Keys keys{.area = area,
              .center = std::vector<float>(width),
              .rows = std::vector<float>(count * (width + heads())),
              .squares = std::vector<float>(count * values)};
    std::vector<float> channels(count * width);
    std::vector<double> sum(width);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t token = token_of(area, i);
      seen_.describe(token, &channels[i * width]);
      seen_.value(token, &keys.squares[i * values]);
      for (int64_t c = 0; c < width; ++c) sum[c] += channels[i * width + c];
    }
    for (int64_t c = 0; c < width; ++c) keys.center[c] = static_cast<float>(sum[c] / static_cast<double>(count));
    for (int64_t i = 0; i < count; ++i) {
      fold(&channels[i * width], keys.center, &keys.rows[i * (width + heads())], /*is_key=*/true);
    }
    return keys;
  }

  void attend(const Area& queries, const Keys& keys, Levels& out) const {
    const int64_t width = seen_.width(), values = seen_.value_width(), part = width / heads() + 1;
    std::vector<float> rows(queries.count() * heads() * part), channels(width);
    for (int64_t i = 0; i < queries.count(); ++i) {
      const int64_t token = queries.top * looking_.columns() + queries.left +
                            i / queries.columns() * looking_.columns() + i % queries.columns();
      looking_.describe(token, channels.data());
      fold(channels.data(), keys.center, &rows[i * heads() * part], /*is_key=*/false);
    }
    std::vector<float> means(queries.count() * heads() * values);
    const std::vector<uint8_t> mask = window_ ? visible(queries, keys.area) : std::vector<uint8_t>();
    const kernels::AttentionCall call{.batch = 1,
                                      .heads = heads(),
                                      .key_heads = heads(),
                                      .queries = queries.count(),
                                      .keys = keys.area.count(),
                                      .width = part,
                                      .value_width = values,
                                      .q = {.data = rows.data(), .head = part, .row = heads() * part},
                                      .k = {.data = keys.rows.data(), .head = part, .row = heads() * part},
                                      .v = {.data = keys.squares.data(), .row = values},
                                      .mask = {.data = mask.empty() ? nullptr : mask.data(), .row = keys.area.count()}};
    const auto alone = [](int64_t count, int64_t, void (*body)(void*, int64_t, int64_t), void* context) {
      body(context, 0, count);
    };
    kernels::attention_forward(call, {.data = means.data(), .head = values, .row = heads() * values},
                               /*log_sum=*/nullptr, {.parallel_for = alone});
    for (int64_t i = 0; i < queries.count(); ++i) {
      float* const mean = &means[i * heads() * values];
      for (int64_t c = 0; c < values; ++c) {
        for (int64_t h = 1; h < heads(); ++h) mean[c] += mean[h * values + c];
        mean[c] /= static_cast<float>(heads());
      }
      paint(queries.top + i / queries.columns(), queries.left + i % queries.columns(), mean, out);
    }
  }

  // The same without the kernel, for chips that it is not made for.
  void attend_by_rows(const Area& queries, Levels& out) const {
    const int64_t values = seen_.value_width();
    std::vector<float> square(values);
    for (int64_t y = queries.top; y < queries.bottom; ++y) {
      for (int64_t x = queries.left; x < queries.right; ++x) {
        const std::vector<double> weights = row(y * looking_.columns() + x);
        std::vector<double> sum(values);
        for (size_t i = 0; i < weights.size(); ++i) {
          if (weights[i] == 0) continue;
          seen_.value(static_cast<int64_t>(i) % seen_.count(), square.data());
          for (int64_t c = 0; c < values; ++c) sum[c] += weights[i] * square[c] / static_cast<double>(heads());
        }
        std::copy(sum.begin(), sum.end(), square.begin());
        paint(y, x, square.data(), out);
      }
    }
  }

 private:
  int64_t token_of(const Area& area, int64_t i) const {
    return (area.top + i / area.columns()) * seen_.columns() + area.left + i % area.columns();
  }

  // channels [width] → [heads, width/heads + 1]: of a query 2q and 1, of a key k and −‖k‖², each times the root of its
  // head's weight.
  void fold(const float* channels, const std::vector<float>& center, float* row, bool is_key) const {
    const int64_t part = seen_.width() / heads();
    for (int64_t h = 0; h < heads(); ++h) {
      const double root = std::sqrt(weights_[h]);
      double square = 0;
      for (int64_t c = h * part; c < (h + 1) * part; ++c) {
        const auto level = static_cast<float>(root * (channels[c] - center[c]));
        square += static_cast<double>(level) * level;
        *row++ = is_key ? level : 2 * level;
      }
      *row++ = is_key ? static_cast<float>(-square) : 1;
    }
  }

  std::vector<uint8_t> visible(const Area& queries, const Area& keys) const {
    std::vector<uint8_t> mask(queries.count() * keys.count());
    uint8_t* to = mask.data();
    for (int64_t i = 0; i < queries.count(); ++i) {
      const int64_t y = queries.top + i / queries.columns(), x = queries.left + i % queries.columns();
      for (int64_t j = keys.top; j < keys.bottom; ++j, to += keys.columns()) {
        if (std::abs(j - y) > *window_) continue;
        const int64_t first = std::max(keys.left, x - *window_), last = std::min(keys.right, x + *window_ + 1);
        std::fill(to + first - keys.left, to + last - keys.left, 1);
      }
    }
    return mask;
  }

  // A token's square at its place.
  void paint(int64_t row, int64_t column, const float* square, Levels& out) const {
    const int64_t stride = looking_.options().stride;
    for (int64_t y = 0; y < stride; ++y) {
      std::copy_n(square + 3 * y * stride, 3 * stride,
                  &out.values[3 * ((row * stride + y) * out.width + column * stride)]);
    }
  }

  Patches looking_, seen_;
  std::optional<int64_t> window_;
  std::vector<double> weights_;  // of the squared distance of each head
};

// Rows of the picture, or square tiles that see much of the same window.
std::vector<Area> tasks(const Patches& patches, bool window) {
  const int64_t tall = window ? kTileSide : std::max<int64_t>(1, kQueriesOfTask / patches.columns());
  const int64_t wide = window ? kTileSide : patches.columns();
  std::vector<Area> areas;
  for (int64_t y = 0; y < patches.rows(); y += tall) {
    for (int64_t x = 0; x < patches.columns(); x += wide) {
      areas.push_back({y, x, std::min(patches.rows(), y + tall), std::min(patches.columns(), x + wide)});
    }
  }
  return areas;
}

}  // namespace

Image Levels::rounded() const {
  Image image{.width = width, .height = height, .pixels = std::vector<uint8_t>(values.size())};
  for (size_t i = 0; i < values.size(); ++i) {
    image.pixels[i] = static_cast<uint8_t>(std::lround(255 * std::clamp(values[i], 0.0F, 1.0F)));
  }
  return image;
}

std::vector<double> look(const Image& looking, const Image& seen, int64_t query, const LensOptions& options) {
  const PatchAttention attention(looking, seen, options);
  require(query >= 0 && query < attention.looking().count(), ErrorKind::usage, "lens: query {}: there are tokens 0…{}",
          query, attention.looking().count() - 1);
  return attention.row(query);
}

Levels repaint(const Image& looking, const Image& seen, const LensOptions& options) {
  const PatchAttention attention(looking, seen, options);
  Levels out{looking.width, looking.height, std::vector<float>(3 * looking.width * looking.height)};
  const std::vector<Area> areas = tasks(attention.looking(), options.window.has_value());
  const bool plain = options.plain || *kernels::chip_refuses() != '\0';
  std::optional<PatchAttention::Keys> all;  // where every token sees the same
  if (!plain && !options.window) all = attention.keys(attention.seen_from({}));
  const auto work = [&](int64_t i) {
    if (plain) return attention.attend_by_rows(areas[i], out);
    attention.attend(areas[i], all ? *all : attention.keys(attention.seen_from(areas[i])), out);
  };
  in_threads(static_cast<int64_t>(areas.size()), options.threads, work, options.progress);
  return out;
}

double noise_level(const Image& image) {
  require(image.width >= 3 && image.height >= 3 && image.channels == 3, ErrorKind::data,
          "noise_level: expected three channels of 3x3 pixels or more, got {}x{}x{}", image.width, image.height,
          image.channels);
  constexpr int kernel[3][3] = {{1, -2, 1}, {-2, 4, -2}, {1, -2, 1}};
  double sum = 0;
  for (int64_t y = 1; y + 1 < image.height; ++y) {
    for (int64_t x = 3; x + 3 < 3 * image.width; ++x) {
      int difference = 0;
      for (int j = 0; j < 3; ++j) {
        const uint8_t* row = image.row(y + j - 1) + x;
        for (int i = 0; i < 3; ++i) difference += kernel[j][i] * row[3 * (i - 1)];
      }
      sum += std::abs(difference);
    }
  }
  const auto places = static_cast<double>(3 * (image.width - 2) * (image.height - 2));
  return std::sqrt(std::numbers::pi / 2) / 6 * sum / places / 255;
}

LensOptions denoise_options(double noise) {
  // Two views of the same thing differ by 2σ² in the mean. On photographs with σ = 25/255 factors of 0.7 to 1 give
  // most.
  return {.patches = {.stride = 1, .patch = 5}, .temperature = std::max(1e-6, 0.8 * noise * noise), .window = 10};
}

}  // namespace fovea
