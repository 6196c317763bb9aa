#!/bin/sh
# Installs what the benchmark compares with: the genuine client and server beside tests/interop, PouchDB and WatermelonDB beside this
# file, taskchampion under taskchampion/target. Needs node 18 or newer, npm, and a C++ compiler, make and python3. Each that fails is left out.
set -u
cd "$(dirname "$0")"
sh ../../tests/interop/setup.sh || echo "the genuine client and server are left out" >&2
root=$(dirname "$(dirname "$(command -v node)")")
# The build takes node's headers from beside node where they are, instead of fetching them.
if [ -z "${npm_config_nodedir:-}" ] && [ -f "$root/include/node/node.h" ]; then
  export npm_config_nodedir="$root"
fi
npm ci --no-audit --no-fund --loglevel=error || echo "PouchDB and WatermelonDB are left out" >&2
cargo build --release --locked --quiet --manifest-path taskchampion/Cargo.toml || echo "taskchampion is left out" >&2
