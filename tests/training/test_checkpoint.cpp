// The two generations of saved state: damage, leftovers, full disks, two trainers.
#include "fovea/vision/training/checkpoint.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "fovea/modules/error.h"
#include "fovea/tests/datasets/idx_files.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TrainingState state_of_step(int64_t step) {
  TrainingState state{.step = step, .settings = {{"seed", "3"}, {"lr", "0.1"}}, .history = "epoch,step\n1,5\n"};
  state.tensors.add("weight", at::full({3, 4}, static_cast<double>(step)));
  state.tensors.add("moment", at::arange(5) + step);
  return state;
}

void expect_step(const std::optional<TrainingState>& state, int64_t step) {
  ASSERT_TRUE(state);
  EXPECT_EQ(state->step, step);
  EXPECT_EQ(state->settings, state_of_step(step).settings);
  EXPECT_EQ(state->history, "epoch,step\n1,5\n");
  EXPECT_TRUE(state->tensors.find("weight")->equal(at::full({3, 4}, static_cast<double>(step))));
  EXPECT_TRUE(state->tensors.find("moment")->equal(at::arange(5) + step));
}

void flip_bit(const fs::path& file, int64_t from_end) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(-from_end, std::ios::end);
  const char byte = static_cast<char>(stream.get() ^ 1);
  stream.seekp(-from_end, std::ios::end);
  stream.put(byte);
}

class StateFilesTest : public testing::Test {
 protected:
  void save(std::initializer_list<int64_t> steps) {
    StateFiles files(folder_.path());
    for (const int64_t step : steps) files.save(state_of_step(step));
  }
  std::optional<TrainingState> load() { return StateFiles(folder_.path()).load(); }
  fs::path newest() {  // of an odd number of saves the first slot, else the second
    const fs::path a = folder_ / "state.0.safetensors", b = folder_ / "state.1.safetensors";
    return !fs::exists(b) || fs::last_write_time(a) > fs::last_write_time(b) ? a : b;
  }
  test::TemporaryFolder folder_;
};

TEST_F(StateFilesTest, AreEmptyAtFirst) {
  EXPECT_FALSE(load());
  EXPECT_FALSE(StateFiles(folder_.path()).exist());
}

TEST_F(StateFilesTest, GiveTheNewest) {
  save({5});
  expect_step(load(), 5);
  save({});
  StateFiles files(folder_.path());
  ASSERT_TRUE(files.load());
  for (const int64_t step : {10, 15, 20}) {
    files.save(state_of_step(step));
    expect_step(load(), step);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 2);
}

TEST_F(StateFilesTest, FallBackWhereverTheNewestIsDamaged) {
  save({5, 10});
  const fs::path file = newest();
  const auto size = static_cast<int64_t>(fs::file_size(file));
  std::ifstream stream(file, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(stream)), {});
  for (int64_t from_end = 1; from_end <= size; from_end += 7) {
    flip_bit(file, from_end);
    expect_step(load(), 5);
    test::write(file, whole);
  }
  for (int64_t length = 0; length < size; length += 11) {
    test::write(file, whole.substr(0, static_cast<size_t>(length)));
    expect_step(load(), 5);
  }
}

TEST_F(StateFilesTest, OverwriteTheDamagedOneNext) {
  save({5, 10});
  const fs::path damaged = newest();
  flip_bit(damaged, 1);
  StateFiles files(folder_.path());
  expect_step(files.load(), 5);
  files.save(state_of_step(7));
  expect_step(load(), 7);
  EXPECT_EQ(newest(), damaged);
}

TEST_F(StateFilesTest, SayWhatIsWrongWhereAllAreDamaged) {
  save({5, 10});
  flip_bit(folder_ / "state.0.safetensors", 1);
  flip_bit(folder_ / "state.1.safetensors", 1);
  try {
    load();
    ADD_FAILURE() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_THAT(error.what(), HasSubstr("state.0.safetensors: damaged: checksum"));
    EXPECT_THAT(error.what(), HasSubstr("state.1.safetensors: damaged: checksum"));
  }
}

TEST_F(StateFilesTest, SweepUpAfterKilledRunsOnly) {
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  waitpid(dead, nullptr, 0);
  const fs::path left = test::write(folder_ / fmt::format(".state.0.safetensors.tmp.{}", dead), "half");
  const fs::path running = test::write(folder_ / fmt::format(".state.0.safetensors.tmp.{}", getppid()), "half");
  StateFiles files(folder_.path());
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(running));
}

TEST_F(StateFilesTest, KeepBothWhenTheFolderIsGone) {
  StateFiles files(folder_ / "missing");
  try {
    files.save(state_of_step(1));
    ADD_FAILURE() << "saved";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
  }
}

TEST(FolderLockTest, AdmitsOneProcess) {
  const test::TemporaryFolder folder;
  const auto lock = [&] { FolderLock second(folder.path()); };
  {
    const FolderLock first(folder.path());
    try {
      lock();
      ADD_FAILURE() << "locked twice";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
      EXPECT_THAT(error.what(), HasSubstr("another process trains in this folder"));
    }
  }
  EXPECT_NO_THROW(lock());
}

TEST(FolderLockTest, NamesAMissingFolder) {
  try {
    FolderLock lock("/nowhere/at/all");
    ADD_FAILURE() << "locked";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_STREQ(error.what(), "/nowhere/at/all: No such file or directory");
  }
}

}  // namespace
}  // namespace fovea
