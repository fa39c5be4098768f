#!/usr/bin/env bash
# Builds and shows what fovea does, one step after the other: first attention on a photograph, which needs no network
# and is there before the rest is compiled, then the shipped networks on scenes and on photographs of clothes.
# Usage: demo.sh BUILD OUTPUT [PHOTO]
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
output=$2
photo=${3:-}
fovea=$build/bin/fovea
mkdir -p "$output"

# Seconds of each step on two cores, downloads apart: what is left is the sum of those to come.
names=("install what is missing" "configure" "build the lens" "look at a photograph" "build the networks" "name and describe scenes" "classify clothes")
seconds=(5 6 60 1 300 15 15)
steps=${#names[@]}
now=0
left() {  # of all steps that are not begun
  local sum=0 i
  for ((i = now; i < steps; ++i)); do sum=$((sum + seconds[i])); done
  echo "$sum"
}
minutes() { if (($1 >= 90)); then echo "$((($1 + 30) / 60)) min"; else echo "$1 s"; fi; }
step() {
  local rest
  rest=$(left)
  now=$((now + 1))
  printf '\n[%d/%d] %s; at most about %s left\n' "$now" "$steps" "${names[now - 1]}" "$(minutes "$rest")"
}

# ninja's lines "DONE TOTAL …" become one line with the time left, all others (of a compiler) stay.
compile() {
  local start=$SECONDS last=-10 one all rest
  NINJA_STATUS='@ %f %t ' cmake --build "$build" -j"${JOBS:-$(nproc)}" --target "$@" 2>&1 |
    while IFS= read -r line; do
      if [[ $line != '@ '* ]]; then
        [[ $line == 'ninja: no work to do.' ]] || printf '%s\n' "$line"
        continue
      fi
      read -r _ one all rest <<<"$line"
      ((SECONDS - last >= 10 || one == all)) || continue
      last=$SECONDS
      rest=$(((SECONDS - start) * (all - one) / one + $(left)))
      printf '      %d of %d files, about %s left\n' "$one" "$all" "$(minutes "$rest")"
    done
}

step
cmake/setup.sh demo
step
cmake --preset release -B "$build" --log-level=WARNING >/dev/null
step
compile fovea_lens
step
point=centre
if [[ -z $photo ]]; then
  photo=datasets/samples/chelsea.jpg
  point=172,118  # an eye
fi
preview=()
[[ -t 1 && ${TERM:-dumb} != dumb ]] && preview=(--preview)
"$build/bin/fovea-lens" lens "$photo" --point "$point" --output "$output" "${preview[@]}" | sed "s|^$output|      picture: &|"
step
compile fovea
step
method_of() { case $1 in *scenes) echo gradcam ;; *vit*) echo rollout ;; *swin*) echo attention ;; *cbam*) echo spatial ;; *) echo channel ;; esac; }
look() {  # MODEL IMAGE…: where it looked
  "$fovea" overlay --model "$1" --method "$(method_of "$1")" --output "$output/$1" "${@:2}" >/dev/null
}
"$fovea" scenes --split test --count 4 --output "$output/scenes" --force >/dev/null
scenes=("$output"/scenes/*.png)
printf '\n== fovea_lstm_scenes\n'
"$fovea" caption --maps "$output/words" "${preview[@]}" "${scenes[@]}" | sed "s|^$output/||"
for model in fovea_{cbamresnet,vit}_scenes; do
  printf '\n== %s\n' "$model"
  "$fovea" classify --model "$model" --top-k 3 "${scenes[@]}" | sed "s|^$output/||"
  look "$model" "${scenes[@]}"
done
step
samples=(datasets/samples/*.png)
for model in fovea_{seresnet,cbamresnet,vit,swin}_fashion; do
  printf '\n== %s\n' "$model"
  "$fovea" classify --model "$model" --top-k 1 "${samples[@]}" | paste -sd' \n' | sed 's|^datasets/samples/||'
  look "$model" "${samples[@]}"
done
printf '\nPictures: scenes, and where the lens and each network looked, for captions word by word:\n'
printf '  %s\n' "$output"/*.lens.png "$output"/*/
cat <<END

Next:
  make demo PHOTO=mine.jpg                      # your own photograph
  $fovea train --data photos/ --model seresnet18 --output run    # your own folder: photos/train/cat/*.jpg, …
  $fovea report mine.jpg --model vit_base_patch16_224 --weights vit_base.safetensors --output report.html   # your own network
END
