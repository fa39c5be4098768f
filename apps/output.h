// What the program writes: the standard output, and files that may already be there.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace fovea {

// Throws Error(io) when not all of it could be written ("standard output: No space left on device").
void print_output(std::string_view text);

// Refuses, with Error(io), to replace a file that this command would not have written: one that exists, is not
// recognised by `own`, and was not asked for with --force.
void check_replaceable(const std::string& path, bool force, const std::function<bool(const std::string&)>& own);

// Throws Error(usage) when both names mean the same existing file.
void check_not_input(const std::string& output, const std::string& input);

}  // namespace fovea
