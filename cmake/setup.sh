#!/usr/bin/env bash
# Installs what a build needs and is missing: the distribution's packages, LibTorch, and for the tests the Python peers.
# Usage: cmake/setup.sh [demo|test|check]. Downloads stay in the user's cache folder for the next clone.
set -euo pipefail
what=${1:-demo}
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fovea

packages=(g++ cmake ninja-build make pkg-config python3-venv libopencv-dev libstb-dev nlohmann-json3-dev libcli11-dev
          libspdlog-dev libfmt-dev libre2-dev libboost-dev libhwy-dev zlib1g-dev libfreetype-dev libgloo-dev
          fonts-noto-color-emoji dataset-fashion-mnist)
case $what in
  demo) ;;
  test) packages+=(libgtest-dev libgmock-dev libboost-context-dev strace chromium chromium-driver unicode-data) ;;
  check) packages+=(libgtest-dev libgmock-dev libboost-context-dev clang-format clang-tidy) ;;
  *) echo "usage: cmake/setup.sh [demo|test|check]" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *" installed" ]] || missing+=("$package")
done
if ((${#missing[@]})); then
  install="apt-get install -y --no-install-recommends ${missing[*]}"
  if ((EUID != 0)); then
    echo "Packages are missing. Run this once, then try again:" >&2
    echo "  sudo sh -c 'apt-get update && $install'" >&2
    exit 1
  fi
  echo "Installing ${#missing[@]} packages of the distribution …"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o Acquire::Retries=3 update
  # shellcheck disable=SC2086
  apt-get -qq -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 ${install#apt-get } >/dev/null
fi

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9  # two clones may be set up at once

# The wheel's C++ part alone: Python's dependencies and the CUDA libraries stay away. Installed beside its place and
# renamed, so that an interrupted download is never taken for a whole one.
libtorch=$cache/libtorch-2.11.0
if [[ -z ${Torch_DIR:-} && ! -d $libtorch ]]; then
  echo "Fetching LibTorch 2.11 (0.5 GB) into $libtorch …"
  rm -rf "$libtorch".partial.*
  partial=$libtorch.partial.$$
  mkdir "$partial"
  python3 -m venv "$partial/venv"
  TMPDIR=$partial "$partial/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-compile \
    --target "$partial/libtorch" torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
  mv "$partial/libtorch" "$libtorch"
  rm -rf "$partial"
fi

# What the tests compare with. The stamp is written last and holds the list that was installed.
peers=$cache/peers
if [[ $what == test ]] && ! cmp -s "$root/tests/requirements.txt" "$peers/requirements.installed"; then
  echo "Fetching the Python peers of the tests (5 GB on disk) into $peers …"
  [[ -x $peers/bin/python ]] || python3 -m venv "$peers"
  rm -rf "$cache/tmp" && mkdir "$cache/tmp"  # the wheels unpack here: /tmp is often small
  TMPDIR=$cache/tmp "$peers/bin/python" -m pip install --quiet --disable-pip-version-check -r "$root/tests/requirements.txt"
  rm -rf "$cache/tmp"
  cp "$root/tests/requirements.txt" "$peers/requirements.installed"
fi
