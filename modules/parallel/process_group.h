// Processes that exchange tensors, on one machine or on several.
//
//     auto group = make_gloo_group({.rank = rank, .size = 3, .file = "/tmp/meeting"});   // each process its own rank
//     auto y = ring_attention(q, k, v, group);
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace c10d {
class Backend;
}

namespace fovea {

using ProcessGroup = c10::intrusive_ptr<c10d::Backend>;

struct ProcessGroupOptions {
  int64_t rank = 0;          // of this process, 0 … size − 1
  int64_t size = 1;          // processes
  std::string file = {};     // where processes of one machine meet: a path that does not exist before, the same for all
  std::string address = {};  // else the name of the machine of rank 0, which waits there …
  int64_t port = 29500;      // … at this port
  std::chrono::milliseconds timeout = std::chrono::minutes(30);  // for a process that does not answer
};

// What launchers in the manner of torchrun set: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Throws Error(usage)
// where one is missing or is no number.
ProcessGroupOptions group_options_from_environment();

// The group over Gloo (TCP, tensors of the CPU), when all its processes have come. Throws Error(usage) for options that
// do not go together and in a build without Gloo's headers, Error(io) where the processes do not meet in time.
// Gloo writes to sockets whose other end may be gone: a program that is to outlive another process ignores SIGPIPE
// (Python does), else the signal ends it before the error can be thrown.
ProcessGroup make_gloo_group(const ProcessGroupOptions& options);

}  // namespace fovea
