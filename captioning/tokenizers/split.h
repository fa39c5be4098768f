// Where words end, by hand: RE2 has no look-ahead, and the classes are the peers' own.
#pragma once

#include <functional>
#include <string_view>

namespace fovea {

using WordSink = std::function<void(std::u32string_view word)>;

// GPT-2's pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// The words together are the text. Radford et al., Language Models are Unsupervised Multitask Learners, 2019,
// https://github.com/openai/gpt-2/blob/master/src/encoder.py
void split_gpt2(std::u32string_view text, const WordSink& word);

// BERT's: words end at white space, which is dropped, and each character of punctuation is a word.
// Devlin et al., 2018, https://arxiv.org/abs/1810.04805
void split_bert(std::u32string_view text, const WordSink& word);

// At white space, which is dropped.
void split_at_white_space(std::u32string_view text, const WordSink& word);

}  // namespace fovea
