// The JSON in a safetensors file; internal to safetensors.cpp.
#pragma once

#include <string>
#include <string_view>

#include "fovea/modules/weights/safetensors.h"

namespace fovea {

inline constexpr std::string_view kSafetensorsMetadataKey = "__metadata__";

// Entries in the order of the text, with data_offsets' begin in `offset` and end in `length`; nothing about their
// places is checked yet. Accepts what serde_json and the reference's structures accept, which is more than the format
// says: a tensor may be an array [dtype, shape, data_offsets], dtype an object {"F32": null}, unknown fields are
// skipped, `__metadata__` may be null. Throws as parse_safetensors.
SafetensorsHeader read_safetensors_json(std::string_view text, std::string_view file);

// Fills `offset` (from the start of the data) and gives the text, padded with spaces to a multiple of 8 bytes.
std::string write_safetensors_json(std::vector<SafetensorsEntry>& entries, const SafetensorsMetadata& metadata,
                                   std::string_view file);

}  // namespace fovea
