#!/usr/bin/env bash
# Runs all golden cases and all benchmarks from the folder that benches/gpu/collect.sh made, without compiler and network:
#
#     run.sh FOLDER [RESULTS.json]
#
# BACKENDS ("cuda vulkan" if absent) are those to run; each computes golden cases in f32, and benchmarks in the types of TYPES ("bf16
# f32" if absent) that its device has. SMALL=1 takes small shapes, to see that everything runs. Where python3 has torch and diffusers
# (PYTHON names another), their steps are beside ours. Everything goes into one JSON file and a Markdown table beside it. What fails is
# named at the end; the status is then 1. ONLY is a part of the names of the golden cases to run.
set -uo pipefail
[ $# -ge 1 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
folder="$(cd "$1" && pwd)"
results="${2:-$PWD/gpu.json}"
backends="${BACKENDS:-cuda vulkan}"
types="${TYPES:-bf16 f32}"
python="${PYTHON:-python3}"
small=()
[ "${SMALL:-0}" = 0 ] || small=(--small)
log="${results%.json}.log"
: > "$log"
failed=()

# run NAME COMMAND..: its output goes to the log as well; a failure is kept for the end
run() {
  local name=$1
  shift
  printf '\n== %s\n' "$name" | tee -a "$log"
  "$@" 2>&1 | tee -a "$log"
  local status=${PIPESTATUS[0]}
  [ "$status" = 0 ] || failed+=("$name: status $status")
}

if command -v nvidia-smi > /dev/null; then
  run "the card" nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv
fi
for backend in $backends; do
  run "golden cases on $backend" "$folder/bin/parity" --backend "$backend" --json "$results" ${ONLY:+--only "$ONLY"} "$folder/cases"
  for type in $types; do
    on=(--backend "$backend" --dtype "$type" --json "$results" ${small[@]+"${small[@]}"})
    # a type that the device does not have is said once
    if ! refused=$("$folder/bin/operations" "${on[@]}" "no such operation" 2>&1 > /dev/null); then
      printf '\n== %s in %s: %s\n' "$backend" "$type" "$refused" | tee -a "$log"
      case "$refused" in *"does not compute in"*) ;; *) failed+=("$backend in $type: $refused") ;; esac
      continue
    fi
    for benchmark in operations unet_step control_step vae_decode flux_blocks flux_attention flux_conditions flux_ip_adapter scaling; do
      run "$benchmark on $backend in $type" "$folder/bin/$benchmark" "${on[@]}"
    done
    if [ ${#small[@]} = 0 ]; then
      run "unet_step of SDXL on $backend in $type" "$folder/bin/unet_step" "${on[@]}" --model sdxl --edge 1024
    fi
  done
done
if "$python" -c "import torch, diffusers" 2> /dev/null; then
  for type in $types; do
    run "torch and diffusers in $type" "$python" "$folder/peer.py" --dtype "$type" --json "$results" ${small[@]+"${small[@]}"}
  done
else
  printf '\n== no torch and diffusers in %s: nothing beside\n' "$python" | tee -a "$log"
fi
"$folder/bin/report" "$results" > "${results%.json}.md" || failed+=("report")
printf '\nwrote %s, %s and %s\n' "$results" "${results%.json}.md" "$log"
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed:\n'
  printf '  %s\n' "${failed[@]}"
  exit 1
fi
