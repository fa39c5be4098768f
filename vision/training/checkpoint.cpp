#include "fovea/vision/training/checkpoint.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/output_file.h"

namespace fovea {
namespace {

constexpr std::string_view setting_prefix = "setting.";

std::string checksum(const StateDict& tensors, const std::map<std::string, std::string>& metadata) {
  uLong crc = crc32(0, nullptr, 0);
  const auto add = [&](const void* data, size_t size) { crc = crc32_z(crc, static_cast<const Bytef*>(data), size); };
  for (const auto& [key, value] : metadata) {
    add(key.data(), key.size() + 1);
    add(value.data(), value.size() + 1);
  }
  std::vector<NamedTensor> sorted = tensors.tensors();
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& [name, tensor] : sorted) {
    const at::Tensor bytes = tensor.detach().cpu().contiguous();
    add(name.data(), name.size() + 1);
    add(bytes.const_data_ptr(), bytes.nbytes());
  }
  return fmt::format("{:08x}", crc);
}

TrainingState read_state(const std::filesystem::path& path) {
  TrainingState state;
  state.tensors = load_state_dict(path);
  auto metadata = state.tensors.metadata;
  const std::string expected = metadata["crc32"];
  metadata.erase("crc32");
  const std::string found = checksum(state.tensors, metadata);
  require(found == expected, ErrorKind::data, "{}: damaged: checksum {}, expected {}", path.string(), found, expected);
  const std::string& step = metadata["step"];
  const auto parsed = std::from_chars(step.data(), step.data() + step.size(), state.step);
  require(parsed.ec == std::errc() && state.step >= 0, ErrorKind::data, "{}: step \"{}\" is no number", path.string(),
          printable(step));
  state.history = metadata["history"];
  for (const auto& [key, value] : metadata) {
    if (key.starts_with(setting_prefix)) state.settings[key.substr(setting_prefix.size())] = value;
  }
  return state;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder) {
  descriptor_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  require(descriptor_ >= 0, ErrorKind::io, "{}: {}", printable(folder.string()), std::strerror(errno));
  const bool writable = ::access(folder.c_str(), W_OK | X_OK) == 0;
  if (!writable || ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int cause = errno;
    ::close(descriptor_);
    fail(ErrorKind::io, "{}: {}", printable(folder.string()),
         cause == EWOULDBLOCK ? "another process trains in this folder" : std::strerror(cause));
  }
}

FolderLock::~FolderLock() {
  ::close(descriptor_);
}

StateFiles::StateFiles(const std::filesystem::path& folder) : folder_(folder) {
  for (const int slot : {0, 1}) remove_stale_outputs(path(slot));
}

std::filesystem::path StateFiles::path(int slot) const {
  return folder_ / fmt::format("state.{}.safetensors", slot);
}

bool StateFiles::exist() const {
  return std::filesystem::exists(path(0)) || std::filesystem::exists(path(1));
}

void StateFiles::remove() {
  for (const int slot : {0, 1}) std::filesystem::remove(path(slot));
}

std::optional<TrainingState> StateFiles::load() {
  std::optional<TrainingState> newest;
  std::vector<std::string> damage;
  for (const int slot : {0, 1}) {
    if (!std::filesystem::exists(path(slot))) continue;
    try {
      TrainingState state = read_state(path(slot));
      if (newest && newest->step >= state.step) continue;
      newest = std::move(state);
      next_ = 1 - slot;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::data) throw;
      damage.emplace_back(error.what());
    }
  }
  require(newest || damage.empty(), ErrorKind::data, "{}", fmt::join(damage, "; "));
  for (const std::string& cause : damage) spdlog::warn("{}; resuming from step {}", cause, newest->step);
  return newest;
}

void StateFiles::save(const TrainingState& state) {
  std::map<std::string, std::string> metadata{{"step", std::to_string(state.step)}, {"history", state.history}};
  for (const auto& [key, value] : state.settings) metadata[std::string(setting_prefix) + key] = value;
  metadata["crc32"] = checksum(state.tensors, metadata);
  save_safetensors(path(next_), state.tensors.tensors(), metadata);
  next_ = 1 - next_;
}

}  // namespace fovea
