// Named tensors as they stand in a checkpoint, and reading and writing them.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fovea {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// Names are unique and keep their order.
class StateDict {
 public:
  StateDict() = default;
  explicit StateDict(std::vector<NamedTensor> tensors);  // throws Error(data) for two of one name

  // Null where there is none. Valid until the next add().
  const at::Tensor* find(std::string_view name) const;
  // Throws Error(data) where the name is taken.
  void add(std::string name, at::Tensor tensor);

  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  size_t size() const { return tensors_.size(); }
  auto begin() const { return tensors_.begin(); }
  auto end() const { return tensors_.end(); }

  std::map<std::string, std::string> metadata;  // the file's `__metadata__`

 private:
  std::vector<NamedTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

// Reads a safetensors file. Tensors lie in a private mapping of the file and keep it alive: nothing is read before it
// is touched, writing into them (training in place) never reaches the file, and the file may be replaced meanwhile.
// Tensors that lie misaligned for their type are copied. Throws Error(io) or Error(data); other known formats are
// named.
StateDict load_state_dict(const std::filesystem::path& path);

// Writes a safetensors file atomically (see OutputFile). Tensors may lie on any device, in any strides. Throws
// Error(io), and Error(usage) for a type that the format does not have.
void save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace fovea
