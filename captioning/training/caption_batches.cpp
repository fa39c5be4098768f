#include "fovea/captioning/training/caption_batches.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "fovea/captioning/training/vocabulary.h"
#include "fovea/modules/error.h"
#include "fovea/vision/training/places.h"
#include "fovea/vision/training/random.h"

namespace fovea {
namespace {

// [n,…] → [length,…], zeros behind.
at::Tensor lengthened(const at::Tensor& rows, int64_t length) {
  auto sizes = rows.sizes().vec();
  sizes[0] = length - sizes[0];
  return at::cat({rows, at::zeros(sizes, rows.options())});
}

using Tokens = std::vector<int64_t>;

// Rows of different lengths → [rows,longest], `behind` behind each.
at::Tensor padded(const std::vector<Tokens>& rows, int64_t behind) {
  size_t longest = 1;
  for (const Tokens& row : rows) longest = std::max(longest, row.size());
  const auto result = at::full({std::ssize(rows), static_cast<int64_t>(longest)}, behind, at::kLong);
  for (int64_t i = 0; i < std::ssize(rows); ++i) {
    const Tokens& row = rows[static_cast<size_t>(i)];
    result[i].narrow(0, 0, std::ssize(row)).copy_(at::tensor(row, at::kLong));
  }
  return result;
}

}  // namespace

TeacherTokens teacher_tokens(const std::vector<std::vector<int64_t>>& rows, const CaptionTokens& tokens) {
  std::vector<Tokens> inputs, targets;
  for (const Tokens& row : rows) {
    inputs.emplace_back(row.begin(), row.end() - 1);
    targets.emplace_back(row.begin() + 1, row.end());
  }
  return {.tokens = padded(inputs, tokens.pad), .targets = padded(targets, -100)};
}

CaptionBatches::CaptionBatches(const CaptionDataset& data, const Tokenizer& tokenizer, const Options& options)
    : data_(data),
      tokenizer_(tokenizer),
      options_(options),
      order_({.pictures = data.size(),
              .batch_size = options.batch_size,
              .seed = options.seed,
              .endless = data.endless()}) {}

CaptionBatches::Row CaptionBatches::row(int64_t index, uint64_t showing) const {
  const CaptionedImage picture = data_.get(index);
  Row row{.image = preprocess(picture.image, options_.preprocess)};
  for (const std::string& caption : picture.captions) row.references.push_back(caption_words(caption));
  Random random(options_.seed, showing + (uint64_t{1} << 33));
  const auto chosen = static_cast<size_t>(random.below(std::ssize(picture.captions)));
  const std::string& text = picture.captions[chosen];
  const auto encoded = [&](size_t bytes) { return tokenizer_.encode(plain_caption(text.substr(0, bytes)), false); };

  row.tokens = encoded(text.size());
  if (options_.longest > 0) row.tokens.resize(std::min(row.tokens.size(), static_cast<size_t>(options_.longest - 2)));
  row.tokens.insert(row.tokens.begin(), options_.tokens.start);
  row.tokens.push_back(options_.tokens.end);
  if (data_.classes() == 0) return row;

  const auto seen = crop_geometry(picture.image.width, picture.image.height, options_.preprocess).in_original();
  row.labels = label_targets(picture.things, data_.classes(), options_.grid, seen);
  const auto covered = covered_places(picture.things, seen, options_.grid);
  const int64_t count = std::ssize(row.tokens) - 1;
  row.guided = at::zeros({count}, at::kBool);
  row.guide = at::zeros({count, covered.size(1)});
  row.phrase_at = at::full({covered.size(1)}, -1, at::kLong);
  std::vector<int64_t> phrase_of(picture.things.size(), -1);
  for (const Mention& mention : picture.mentions) {
    if (mention.caption != chosen) continue;
    auto places = at::zeros({covered.size(1)}, at::kBool);
    for (const size_t thing : mention.things) places.logical_or_(covered[static_cast<int64_t>(thing)]);
    if (!places.any().item<bool>()) continue;
    // Row t asks for token t + 1, which stands behind the start token.
    const int64_t begin = std::min<int64_t>(std::ssize(encoded(mention.begin)), count - 1);
    const int64_t end = std::min<int64_t>(std::ssize(encoded(mention.end)), count - 1);
    row.guided.slice(0, begin, end).fill_(true);
    row.guide.slice(0, begin, end).copy_(places.to(at::kFloat) / places.sum());
    for (const size_t thing : mention.things) phrase_of[thing] = std::ssize(row.phrases);
    const std::string phrase = text.substr(mention.phrase, mention.end - mention.phrase);
    row.phrases.push_back(tokenizer_.encode(plain_caption(phrase), false));
  }
  for (size_t thing = 0; thing < phrase_of.size(); ++thing) {  // those in front come later
    row.phrase_at.masked_fill_(covered[static_cast<int64_t>(thing)], phrase_of[thing]);
  }
  return row;
}

CaptionBatch CaptionBatches::get(int64_t step) {
  CaptionBatch batch;
  std::vector<std::vector<int64_t>> sentences;
  std::vector<at::Tensor> images, present, places;
  std::vector<Row> rows;
  for (const int64_t index : order_.indices(step)) {
    rows.push_back(row(index, order_.showing(step, index)));
    images.push_back(rows.back().image);
    sentences.push_back(rows.back().tokens);
    batch.references.push_back(rows.back().references);
  }
  batch.images = at::stack(images).contiguous(at::MemoryFormat::ChannelsLast);
  const TeacherTokens teacher = teacher_tokens(sentences, options_.tokens);
  batch.tokens = teacher.tokens;
  batch.targets = teacher.targets;
  if (data_.classes() == 0) return batch;
  std::vector<at::Tensor> guided, guide, phrase_at;
  std::vector<std::vector<int64_t>> phrases;
  for (const Row& row : rows) {
    phrase_at.push_back(at::where(row.phrase_at < 0, row.phrase_at, row.phrase_at + std::ssize(phrases)));
    phrases.insert(phrases.end(), row.phrases.begin(), row.phrases.end());
    present.push_back(row.labels.present);
    places.push_back(row.labels.places);
    guided.push_back(lengthened(row.guided, batch.tokens.size(1)));
    guide.push_back(lengthened(row.guide, batch.tokens.size(1)));
  }
  batch.labels = {.present = at::cat(present), .places = at::cat(places)};
  batch.guided = at::stack(guided);
  batch.guide = at::stack(guide);
  batch.phrase_at = at::stack(phrase_at);
  batch.phrases = padded(phrases, -100);
  return batch;
}

}  // namespace fovea
