# Two front doors: `make demo` installs what is missing, builds, and shows attention on a photograph (PHOTO=mine.jpg for
# your own) and what four networks see; `make test` does the same and runs every test. Both share build/release.
SHELL := /bin/bash
BUILD := build/release
JOBS ?= $(shell nproc)
# Threads that wait for work must not keep a core from the test beside them.
CTEST = OMP_WAIT_POLICY=passive ctest -j$(JOBS) --test-dir $(BUILD) --output-on-failure --no-tests=error --output-junit results/ctest.xml
SOURCES = $(shell git ls-files '*.h' '*.cpp' '*.cu' '*.cuh')

.PHONY: demo test test-long gpu-test bench check format clean

demo:
	@JOBS=$(JOBS) apps/demo.sh $(BUILD) build/demo "$(PHOTO)"

test:
	$(call run_tests,-LE long)

# What takes longer than a build server should wait: thousands of cases, second configurations.
test-long:
	$(call run_tests,)

# The last line counts every case; a test program that ended without its results counts as one that failed.
define run_tests
	cmake/setup.sh test
	cmake --preset test --log-level=WARNING
	cmake --build $(BUILD) -j$(JOBS)
	rm -rf $(BUILD)/results && mkdir -p $(BUILD)/results
	$(CTEST) $(1); status=$$?; python3 tests/count.py $(BUILD)/results && exit $$status
endef

# The CUDA kernels on a GPU; needs nvcc alone. Where there is no GPU, `make test` has run them on the host.
gpu-test:
	tests/gpu/run.sh

bench:
	cmake/setup.sh test
	cmake --preset test --log-level=WARNING
	cmake --build $(BUILD) -j$(JOBS) --target fovea
	$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fovea/peers/bin/python tests/bench/compare.py

# Style and lint of our own files. Its own build folder: clang cannot read g++'s precompiled header.
check:
	cmake/setup.sh check
	clang-format --dry-run -Werror $(SOURCES)
	cmake --preset test -B build/tidy -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DFOVEA_UNITY=OFF \
	  --log-level=WARNING
	git ls-files 'modules/*.cpp' 'vision/*.cpp' 'datasets/*.cpp' 'apps/*.cpp' | \
	  xargs -n1 -P$(JOBS) clang-tidy --quiet -p build/tidy --extra-arg=-fno-openmp --extra-arg=-Wno-unknown-warning-option

format:
	clang-format -i $(SOURCES)

clean:
	rm -rf build
