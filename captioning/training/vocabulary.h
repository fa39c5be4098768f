// Words of captions as a captioner learns them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/captioning/models/load_captioner.h"
#include "fovea/vision/training/dataset.h"

namespace fovea {

// caption_words with a space between two: lowercase, without punctuation. Throws Error(data) for text that is no UTF-8.
std::string plain_caption(std::string_view text);

// The words of all captions that occur `least` times or more, sorted.
std::vector<std::string> vocabulary_of(const CaptionDataset& data, int64_t least);

// "<pad>" 0, "<start>" 1, "<end>" 2, "<unk>" 3, then the words.
Tokenizer word_tokenizer(const std::vector<std::string>& words);
inline constexpr CaptionTokens word_tokens = {.start = 1, .end = 2, .pad = 0};

// The same as a vocab.json, which load_tokenizer reads.
void write_vocabulary(const std::filesystem::path& file, const std::vector<std::string>& words);

}  // namespace fovea
