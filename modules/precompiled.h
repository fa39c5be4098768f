// The heavy headers of LibTorch, parsed once for every library of the project.
#pragma once
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>
