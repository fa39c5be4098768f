#include "fovea/apps/multipart.h"

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/rfc7230.hpp>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr std::string_view form_type = "multipart/form-data";
constexpr size_t most_parts = 16;
constexpr size_t longest_part_head = 8192;  // bytes of a part's own headers

// The parameter of "form-data; name=\"image\"; filename=\"cat.jpg\"".
std::optional<std::string> parameter(std::string_view value, std::string_view wanted) {
  const size_t first = value.find(';');
  if (first == std::string_view::npos) return std::nullopt;
  const std::string_view rest = value.substr(first);
  for (const auto& [name, text] : boost::beast::http::param_list({rest.data(), rest.size()})) {
    if (boost::beast::iequals(name, {wanted.data(), wanted.size()})) return std::string(text);
  }
  return std::nullopt;
}

// head: the lines of a part before its content.
FormPart read_head(std::string_view head) {
  constexpr std::string_view disposition = "content-disposition:";
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find("\r\n"));
    head.remove_prefix(std::min(head.size(), line.size() + 2));
    if (line.size() < disposition.size() ||
        !boost::beast::iequals({line.data(), disposition.size()}, {disposition.data(), disposition.size()})) {
      continue;
    }
    const auto name = parameter(line, "name");
    require(name.has_value(), ErrorKind::usage, "form: a part has no name");
    return {.name = *name, .file = parameter(line, "filename"), .content = {}};
  }
  fail(ErrorKind::usage, "form: a part has no Content-Disposition");
}

}  // namespace

bool is_form(std::string_view content_type) {
  return content_type.size() >= form_type.size() &&
         boost::beast::iequals({content_type.data(), form_type.size()}, {form_type.data(), form_type.size()});
}

std::vector<FormPart> parse_form(std::string_view content_type, std::span<const uint8_t> body) {
  const auto boundary = parameter(content_type, "boundary");
  require(boundary && !boundary->empty() && boundary->size() <= 70, ErrorKind::usage,
          "form: Content-Type names no boundary of 1 to 70 characters");
  const std::string mark = "--" + *boundary, next = "\r\n" + mark;
  const std::string_view text(reinterpret_cast<const char*>(body.data()), body.size());
  require(text.starts_with(mark), ErrorKind::usage, "form: does not start with its boundary");
  std::vector<FormPart> parts;
  size_t at = mark.size();
  while (!text.substr(at).starts_with("--")) {
    require(text.substr(at).starts_with("\r\n"), ErrorKind::usage, "form: a boundary is no line of its own");
    require(parts.size() < most_parts, ErrorKind::usage, "form: more than {} parts", most_parts);
    const size_t head_end = text.substr(0, std::min(text.size(), at + longest_part_head)).find("\r\n\r\n", at);
    require(head_end != std::string_view::npos, ErrorKind::usage, "form: the head of a part has no end");
    parts.push_back(read_head(text.substr(std::min(at + 2, head_end), head_end - std::min(at + 2, head_end))));
    const size_t begin = head_end + 4, end = text.find(next, begin);
    require(end != std::string_view::npos, ErrorKind::usage, "form: cut off in part \"{}\"",
            printable(parts.back().name));
    parts.back().content = body.subspan(begin, end - begin);
    at = end + next.size();
  }
  return parts;
}

}  // namespace fovea
