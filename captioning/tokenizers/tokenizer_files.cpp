// Vocabularies without a tokenizer.json, and finding them in a folder.
#include <algorithm>
#include <filesystem>

#include "fovea/captioning/tokenizers/tokenizer.h"
#include "fovea/captioning/tokenizers/utf8.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/json_text.h"
#include "fovea/modules/weights/mapped_file.h"
#include "fovea/vision/models/json_reader.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxBytes = size_t{64} << 20;

// Without their ends (LF or CRLF), the empty ones at the end of the file left out.
std::vector<std::string> read_lines(const std::string& path) {
  const auto file = MappedFile::open(path);
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  require(text.size() <= kMaxBytes, ErrorKind::resource, "{}: {} bytes exceed the limit of {}", printable(path),
          text.size(), kMaxBytes);
  require(!text.starts_with("\xEF\xBB\xBF"), ErrorKind::data, "{}: begins with a byte order mark", printable(path));
  std::vector<std::string> lines;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = text.substr(start, end - start);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    try {
      decode_utf8(line);
    } catch (const Error& error) {
      fail(ErrorKind::data, "{}: line {}: {}", printable(path), lines.size(), error.what());
    }
    start = end + 1;
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  require(!lines.empty(), ErrorKind::data, "{}: has no lines", printable(path));
  return lines;
}

Vocabulary read_vocab_json(const std::string& path) {
  const json root = read_json(path);
  require(root.is_object() && !root.empty(), ErrorKind::data, "{}: expected an object of tokens, got {}",
          printable(path), root.is_object() ? "an empty one" : root.type_name());
  Vocabulary vocabulary;
  for (const auto& [token, id] : root.items()) {
    if (!id.is_number_integer() || (id.is_number_unsigned() && id.get<uint64_t>() > INT64_MAX)) {
      JsonReader{path, root}.wrong(printable(token).c_str(), "an integer", id);
    }
    vocabulary.add(path, token, id.get<int64_t>());
  }
  return vocabulary;
}

// Tokens of this text are special where the vocabulary has them.
void add_special(TokenizerParts& parts, std::initializer_list<const char*> texts) {
  for (const char* text : texts) {
    const auto id = parts.model->vocabulary().find(text);
    if (id) parts.added.push_back({.text = text, .id = *id, .special = true});
  }
}

// tokenizer_config.json beside the vocabulary; an empty object where there is none.
json settings_beside(const std::string& vocabulary, std::string& path) {
  path = (fs::path(vocabulary).parent_path() / "tokenizer_config.json").string();
  std::error_code error;
  json settings = fs::exists(path, error) ? read_json(path) : json::object();
  require(settings.is_object(), ErrorKind::data, "{}: expected an object, got {}", printable(path),
          settings.type_name());
  return settings;
}

Tokenizer read_gpt2(const std::string& vocab, const std::string& merges_file) {
  BytePairOptions options{.file = merges_file};
  const std::vector<std::string> lines = read_lines(merges_file);
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (line.starts_with("#version") || line.empty()) continue;
    const size_t space = line.find(' ');
    const bool two = space != std::string::npos && space > 0 && space + 1 < line.size() &&
                     line.find(' ', space + 1) == std::string::npos;
    require(two, ErrorKind::data, "{}: line {}: expected two tokens, got \"{}\"", printable(merges_file), i + 1,
            printable(line));
    options.merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  std::string path;
  const json settings = settings_beside(vocab, path);
  TokenizerParts parts{.file = vocab,
                       .model = make_byte_pair(read_vocab_json(vocab), options),
                       .splitter = Splitter::byte_level,
                       .prefix_space = JsonReader{path, settings}.boolean("add_prefix_space", false),
                       .joiner = TokenJoiner::byte_level};
  add_special(parts, {"<|endoftext|>"});
  return Tokenizer(std::move(parts));
}

Tokenizer read_bert(const std::string& file) {
  const std::vector<std::string> lines = read_lines(file);
  Vocabulary vocabulary;
  for (size_t i = 0; i < lines.size(); ++i) {
    require(!lines[i].empty() && !vocabulary.find(lines[i]), ErrorKind::data, "{}: line {}: {}", printable(file), i + 1,
            lines[i].empty() ? "is empty" : fmt::format("\"{}\" again", printable(lines[i])));
    vocabulary.add(file, lines[i], static_cast<int64_t>(i));
  }
  std::string path;
  const json settings = settings_beside(file, path);
  const JsonReader config{path, settings};
  const bool lowercase = config.boolean("do_lower_case", true);
  TokenizerParts parts{.file = file,
                       .model = make_word_piece(std::move(vocabulary), {.file = file}),
                       .normalise = {.clean_text = true,
                                     .ideographs = config.boolean("tokenize_chinese_chars", true),
                                     .strip_accents = config.boolean("strip_accents", lowercase),
                                     .lowercase = lowercase},
                       .splitter = Splitter::bert,
                       .joiner = TokenJoiner::word_piece,
                       .clean_up = true};
  const auto id_of = [&](const char* token) {
    const auto id = parts.model->vocabulary().find(token);
    require(id.has_value(), ErrorKind::data, "{}: {} is missing", printable(file), token);
    return *id;
  };
  parts.before = {id_of("[CLS]")};
  parts.after = {id_of("[SEP]")};
  add_special(parts, {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"});
  return Tokenizer(std::move(parts));
}

// Show, Attend and Tell's word maps: {"a": 1, …, "<unk>": …, "<start>": …, "<end>": …, "<pad>": 0}.
Tokenizer read_words(const std::string& file) {
  TokenizerParts parts{.file = file,
                       .model = make_word_level(read_vocab_json(file), "<unk>", file),
                       .normalise = {.lowercase = true},
                       .splitter = Splitter::white_space};
  add_special(parts, {"<pad>", "<start>", "<end>"});
  return Tokenizer(std::move(parts));
}

// The first WORDMAP*.json by name, empty where there is none.
std::string word_map_in(const fs::path& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("WORDMAP") && name.ends_with(".json")) found.push_back(entry.path().string());
  }
  return found.empty() ? "" : *std::ranges::min_element(found);
}

Tokenizer load_file(const fs::path& path) {
  const std::string name = path.filename().string();
  std::error_code error;
  if (name == "tokenizer.json") return read_tokenizer_json(path.string());
  if (name.ends_with(".txt")) return read_bert(path.string());
  const fs::path merges = path.parent_path() / "merges.txt";
  if (name == "vocab.json" && fs::exists(merges, error)) return read_gpt2(path.string(), merges.string());
  return read_words(path.string());
}

}  // namespace

Tokenizer load_tokenizer(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return load_file(path);
  for (const char* name : {"tokenizer.json", "vocab.json", "vocab.txt"}) {
    if (fs::exists(fs::path(path) / name, error)) return load_file(fs::path(path) / name);
  }
  const std::string words = word_map_in(path);
  require(!words.empty(), ErrorKind::io,
          "{}: has no tokenizer: expected tokenizer.json, vocab.json, vocab.txt or WORDMAP*.json", printable(path));
  return read_words(words);
}

}  // namespace fovea
