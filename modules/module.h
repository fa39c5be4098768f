// The base of every layer and model, and the by-value holder that users write.
//
//     struct GateOptions { int64_t channels = 0; };                    // plain aggregate, required fields are 0
//     class GateImpl : public Module<GateImpl> {
//      public:
//       explicit GateImpl(const GateOptions& options);                 // checks, then reset()
//       void reset() override;                                         // registers and rebuilds every member
//       at::Tensor forward(const at::Tensor& x);
//     };
//     FOVEA_MODULE(Gate);                                              // Gate gate({.channels = 8});
#pragma once

#include <ATen/ATen.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <concepts>
#include <string_view>
#include <vector>

#include "fovea/modules/inference/init.h"

namespace fovea {

// What a layer of ours adds to torch's: tables and packed weights.
class ModuleBase {
 public:
  virtual ~ModuleBase() = default;

  // Plain tensor members that are neither parameters nor checkpoint entries (index tables, shift masks). They follow
  // the device of the module and keep their type. Built in reset(), never lazily in forward (a data race).
  virtual std::vector<at::Tensor*> tables() { return {}; }

  // Makes packed or folded forms of the weights, used by forward in evaluation mode only (see
  // modules/inference/prepare.h). Called for every submodule.
  virtual void pack() {}

  // Drops them: called by train(), to(), clone() and load_weights.
  virtual void unpack() {}

  // Some architectures are published with and without a parameter (the biases of CBAM's gate). When this layer was made
  // without the one named and can have it, registers it as zeros and returns true; load_weights asks for every tensor
  // that has no place.
  virtual bool add_parameter(std::string_view /*name*/) { return false; }
};

namespace detail {
void move_module(torch::nn::Module& module, std::optional<at::Device> device, std::optional<at::ScalarType> dtype,
                 bool non_blocking);
void move_tables_like(torch::nn::Module& copy, torch::nn::Module& original, std::optional<at::Device> device);
void unpack(torch::nn::Module& module);
}  // namespace detail

// torch's own to() casts integer buffers (BatchNorm's num_batches_tracked would become bfloat16) and ignores plain
// members; this one casts floating tensors alone and takes tables along.
template <typename Derived>
class Module : public torch::nn::Cloneable<Derived>, public ModuleBase {
 public:
  using torch::nn::Cloneable<Derived>::Cloneable;

  void to(at::Device device, at::ScalarType dtype, bool non_blocking = false) override {
    detail::move_module(*this, device, dtype, non_blocking);
  }
  void to(at::ScalarType dtype, bool non_blocking = false) override {
    detail::move_module(*this, std::nullopt, dtype, non_blocking);
  }
  void to(at::Device device, bool non_blocking = false) override {
    detail::move_module(*this, device, std::nullopt, non_blocking);
  }

  void train(bool on = true) override {
    if (on) unpack();
    torch::nn::Cloneable<Derived>::train(on);
  }

  std::shared_ptr<torch::nn::Module> clone(const std::optional<at::Device>& device = std::nullopt) const override {
    const SkipInit skip;  // every parameter is copied
    auto copy = torch::nn::Cloneable<Derived>::clone(device);
    detail::move_tables_like(*copy, const_cast<Module&>(*this), device);
    return copy;
  }
};

}  // namespace fovea

// `Name layer({.channels = 8});`. `Name layer({})` does not compile: `{}` could also mean the empty holder.
#define FOVEA_MODULE(Name)                                                                                          \
  class Name : public torch::nn::ModuleHolder<Name##Impl> {                                                         \
   public:                                                                                                          \
    using Impl = Name##Impl;                                                                                        \
    template <std::same_as<std::nullptr_t> Null>                                                                    \
    Name(Null) : torch::nn::ModuleHolder<Impl>(nullptr) {}                                                          \
    Name(std::shared_ptr<Impl> impl) : torch::nn::ModuleHolder<Impl>(std::move(impl)) {}                            \
    explicit Name(const Name##Options& options) : torch::nn::ModuleHolder<Impl>(std::make_shared<Impl>(options)) {} \
  }
