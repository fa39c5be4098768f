#!/usr/bin/env bash
# The main job on the samples that come along: classifies photographs with each embedded network and draws where it
# looked. Usage: demo.sh FOVEA OUTPUT
set -euo pipefail
fovea=$1
output=$2
cd "$(dirname "$0")/.."
mkdir -p "$output"

samples=(datasets/samples/*.png)
attention() { case $1 in *vit*) echo rollout ;; *swin*) echo attention ;; *cbam*) echo spatial ;; *) echo channel ;; esac; }

for model in $("$fovea" models --json | sed -n 's/^ *"name": "\(fovea_.*\)",$/\1/p'); do
  method=$(attention "$model")
  printf '\n== %s\n' "$model"
  "$fovea" classify --model "$model" --top-k 2 "${samples[@]}"
  "$fovea" overlay --model "$model" --method "$method" --output "$output/$model" "${samples[@]}" >/dev/null
done
printf '\nWhere each network looked:\n'
printf '  %s\n' "$output"/*/
