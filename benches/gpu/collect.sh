#!/usr/bin/env bash
# Builds the folder that benches/gpu/run.sh runs on a machine without compiler and network:
#
#     benches/gpu/collect.sh FOLDER [CASES]
#
# CASES holds the golden cases; those among this repository's fixtures if absent. FEATURES are cargo's (cuda,vulkan,fusion,autotune if
# absent). With CARGO=.ci/cuda and FEATURES=cuda-cpp,vulkan,fusion,autotune nothing of LLVM is downloaded; kernels of CUDA are then
# compiled by NVRTC, which the other machine must have. PROFILE is cargo's.
set -euo pipefail
root="$(cd "$(dirname "$0")/../.." && pwd)"
[ $# -ge 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
folder=$1
cases="${2:-}"
features="${FEATURES:-cuda,vulkan,fusion,autotune}"
profile="${PROFILE:-release}"
cargo="${CARGO:-cargo}"
benchmarks="operations unet_step control_step vae_decode flux_blocks flux_attention flux_conditions flux_ip_adapter scaling"
examples="parity personalize"

mkdir -p "$folder/bin" "$folder/cases"
folder="$(cd "$folder" && pwd)"
[ -z "$cases" ] || cases="$(cd "$cases" && pwd)"
cd "$root"
CONCEPTROL_COMMIT="$(git describe --always --dirty --exclude='*')"
export CONCEPTROL_COMMIT

# both packages get the features they have
selected=()
for feature in ${features//,/ }; do
  selected+=(--features "conceptrol-examples/$feature,conceptrol-benches/$feature")
done
targets=(--bin report)
for name in $benchmarks; do targets+=(--bench "$name"); done
for name in $examples; do targets+=(--example "$name"); done
messages="$(mktemp)"
trap 'rm -f "$messages"' EXIT
"$cargo" build --profile "$profile" -p conceptrol-examples -p conceptrol-benches "${targets[@]}" "${selected[@]}" \
  --message-format=json-render-diagnostics > "$messages"

# {"target":{"name":"operations",..},"executable":"/.../operations-0123"}
for name in $benchmarks $examples report; do
  program=$(grep "\"name\":\"$name\"" "$messages" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
  [ -n "$program" ] || { echo "cargo built no $name"; exit 1; }
  cp "$program" "$folder/bin/$name"
done
if [ -n "$cases" ]; then
  cp -r "$cases/." "$folder/cases"
else
  # cases name what they share as ../models and ../images; other fixtures are of tests
  cp -r conceptrol-*/tests/fixtures/{models,images} "$folder/cases"
  grep -l '"kind"' conceptrol-*/tests/fixtures/*/case.json | while read -r case; do
    cp -r "$(dirname "$case")" "$folder/cases"
  done
fi
cp benches/gpu/run.sh benches/gpu/peer.py "$folder"
echo "$CONCEPTROL_COMMIT" > "$folder/COMMIT"
echo "$features" > "$folder/FEATURES"
du -sh "$folder"
