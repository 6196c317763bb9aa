#!/bin/sh
# Installs the genuine client and server beside these tests, in the versions of package-lock.json. Needs node 18 or newer and
# npm; sqlite3 is built (a minute or two, with a C++ compiler, make and python3) where no built one can be had.
set -eu
cd "$(dirname "$0")"
root=$(dirname "$(dirname "$(command -v node)")")
# The build takes node's headers from beside node where they are, instead of fetching them.
if [ -z "${npm_config_nodedir:-}" ] && [ -f "$root/include/node/node.h" ]; then
  export npm_config_nodedir="$root"
fi
stamp=node_modules/.installed
if ! cmp -s package-lock.json "$stamp"; then
  JOBS=${JOBS:-max} npm ci --no-audit --no-fund --loglevel=error
  node -e 'require("sqlite3"); require("azure-mobile-apps")'
  cp package-lock.json "$stamp"
fi
