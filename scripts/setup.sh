#!/usr/bin/env bash
# Installs what the tests need and a machine with Go, Node and git may lack: a C compiler, for the
# race detector and the native probes; OpenSSL, for the acceptance corpus.
set -euo pipefail

need=()
command -v cc >/dev/null 2>&1 || need+=(gcc libc6-dev)
command -v openssl >/dev/null 2>&1 || need+=(openssl)
[ ${#need[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "set-up: installing ${need[*]}"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
else
	echo "set-up: ${need[*]} missing, and this user can't install packages; what needs them is skipped and says so" >&2
fi
