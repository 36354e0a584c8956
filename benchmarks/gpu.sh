#!/usr/bin/env bash
# Every check and measurement that needs a GPU, on one card, within ten minutes, from a bare machine:
#
#     bash benchmarks/gpu.sh [FOLDER]      # where the logs go; default gpu-results
#
# It installs the project where it is not installed yet. A part that fails or takes too long does not stop the others;
# the exit status is that of the worst.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-gpu-results}
python=${PYTHON:-python3}
mkdir -p "$out"
"$python" -c "import open_clip, zarr, faiss, typer" 2>/dev/null || "$python" -m pip install --quiet --editable '.[dev]' || exit
"$python" -c "import torch; assert torch.cuda.is_available(), 'torch sees no GPU'" || exit
worst=0

part() { # NAME SECONDS COMMAND...
    local name=$1 seconds=$2
    shift 2
    echo "== $name"
    timeout "$seconds" "$@" 2>&1 | tee "$out/$name.log" | tail -n 40
    local status=${PIPESTATUS[0]}
    echo "== $name ended with $status"
    ((status > worst)) && worst=$status
    return 0
}

tests=(tests/featcache/images tests/featcache/encoders tests/featcache/extraction tests/featcache/verification)
tests+=(tests/adapters/training tests/adapters/heads tests/adapters/runs tests/adapters/test_end_to_end.py)
# What reaches buckets, hubs and clusters needs no GPU, and libraries that may not be there.
for name in test_s3 test_sources engines/test_ray_engine; do
    tests+=("--ignore=tests/featcache/extraction/$name.py")
done
side_by_side=()
"$python" -c "import xdist" 2>/dev/null && side_by_side=(-n auto --dist worksteal)
part card 20 nvidia-smi
part extract 210 "$python" -m benchmarks.extract --seconds 6 --decode exact fast
OMP_NUM_THREADS=1 part tests 300 "$python" -m pytest -q -p no:cacheprovider -p no:benchmark --tb=short \
    ${side_by_side[@]+"${side_by_side[@]}"} "${tests[@]}"
part heads 60 "$python" -m benchmarks.large tip linear clip
exit "$worst"
