# Sourced by the scripts beside it: the project's folder, messages, and the cache of fetched files.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cache="${INFERENCE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/inference}"
jobs="$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"

say() { printf '==> %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Runs a command as root, directly or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root for: $* (run as root, or install sudo)"
  fi
}
