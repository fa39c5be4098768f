// LibTorch was built with Gloo; its header asks for this name.
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "fovea/modules/error.h"
#include "fovea/modules/parallel/exchange.h"
#include "fovea/modules/parallel/gloo_group.h"

namespace fovea::detail {
namespace {

c10::intrusive_ptr<c10d::Store> meeting_place(const ProcessGroupOptions& options) {
  if (!options.file.empty()) return c10::make_intrusive<c10d::FileStore>(options.file, static_cast<int>(options.size));
  c10d::TCPStoreOptions how;
  how.port = static_cast<uint16_t>(options.port);
  how.isServer = options.rank == 0;
  how.numWorkers = static_cast<size_t>(options.size);
  how.timeout = options.timeout;
  return c10::make_intrusive<c10d::TCPStore>(options.address, how);
}

}  // namespace

ProcessGroup gloo_group(const ProcessGroupOptions& options) {
  const auto meet = [&]() -> ProcessGroup {
    const auto store = meeting_place(options);
    store->setTimeout(options.timeout);
    auto how = c10d::ProcessGroupGloo::Options::create(options.timeout);
    how->devices = {options.file.empty() ? c10d::ProcessGroupGloo::createDefaultDevice()
                                         : c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")};
    return c10::make_intrusive<c10d::ProcessGroupGloo>(store, static_cast<int>(options.rank),
                                                       static_cast<int>(options.size), how);
  };
  const std::string who = fmt::format("make_gloo_group: process {} of {}", options.rank, options.size);
  return exchanging(who, meet);
}

}  // namespace fovea::detail
