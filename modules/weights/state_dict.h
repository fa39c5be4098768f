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

  std::map<std::string, std::string> metadata;  // of safetensors: the file's `__metadata__`
  std::string source;                           // of a PyTorch file: the entry they come from, "state_dict"
  std::vector<std::string> ignored;             // entries beside them that hold no weights: "epoch", "optimizer"

 private:
  std::vector<NamedTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

// Reads safetensors, a file of torch.save (see torch_file.h), or a `*.index.json` that names the shards of either
// (shard_index.h). Tensors lie in a private mapping of the file and keep it alive: nothing is read before it is
// touched, writing into them (training in place) never reaches the file, and the file may be replaced meanwhile.
// Tensors of torch.save keep their strides, and share memory where the file says so. What lies misaligned for its type
// (files of before PyTorch 1.6) is copied. Throws Error(io), Error(data) or Error(resource); other known formats are
// named.
StateDict load_state_dict(const std::filesystem::path& path);

// Writes a safetensors file atomically (see OutputFile). Tensors may lie on any device, in any strides. Throws
// Error(io), and Error(usage) for a type that the format does not have.
void save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace fovea
