// The word that a mistyped one was probably meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fovea {

// Edits (insert, remove, replace one byte) that turn `a` into `b`.
// Levenshtein, Binary codes capable of correcting deletions, insertions and reversals, 1966,
// https://nymity.ch/sybilhunting/pdf/Levenshtein1966a.pdf
size_t edit_distance(std::string_view a, std::string_view b);

// The candidate of the smallest edit distance to `word`, the first of equals; empty when there is none.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace fovea
