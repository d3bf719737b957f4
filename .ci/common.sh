# Sourced by the scripts beside it. Each works in an environment of its own, which lies outside the checkout, is kept
# for the next run under the hash of what it was built from, and is then pointed to the checkout at hand.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

python=${PYTHON:-python3}
unset PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK=1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
status=0

# use_environment FILE...: the environment built from these files by `fill_environment BIN`
use_environment() {
  local key
  key=$("$python" -VV | cat - pyproject.toml .ci/common.sh "$@" | sha256sum | cut -c1-16)
  environment=${XDG_CACHE_HOME:-$HOME/.cache}/vitpose-ci/$key
  echo "== environment $environment"
  if [ -e "$environment/complete" ]; then
    "$environment/bin/pip" install -qq --no-deps --no-build-isolation -e . || exit 1
  else
    rm -rf "$environment"
    "$python" -m venv "$environment" && fill_environment "$environment/bin" && touch "$environment/complete" || exit 1
  fi
  export PATH="$environment/bin:$PATH" VIRTUAL_ENV="$environment" HF_HUB_OFFLINE=1 MPLBACKEND=Agg
}

# step COMMAND...: runs it and says how long that took; the script goes on and fails in the end if any step failed
step() {
  local start=$SECONDS
  echo "== $*"
  "$@" || status=$?
  echo "-- $((SECONDS - start)) s"
}

# run_product PYTEST_ARGUMENT...: every module, the default run in small, and tests where other releases break things
run_product() {
  step python .ci/import_everything.py
  step accelerate launch training/run.py --train_people 32 --eval_people 16 --output_dir "$(mktemp -d -p "$scratch")/run"
  if [ $# -eq 0 ]; then set -- tests/modeling tests/processing tests/training/engine tests/export tests/video; fi
  step pytest -q -n auto "$@"
}
