#!/usr/bin/env bash
# Every benchmark, with ratios. docs/benchmarks.md quotes a run. Arguments are those of ./bench.
set -euo pipefail
cd "$(dirname "$0")/.."
go run ./bench -weir bin/weir "$@"
echo
echo "policy: one decision among 10,000 rules over 1,000 hosts"
go test -run '^$' -bench 'Decide' -benchmem ./internal/policy | grep -E '^Benchmark'
echo
echo "records: an allowed call that is counted, one in the chain for each invocation, redaction, reading back"
go test -run '^$' -bench 'Decided|Invoked|Redacted|Read' -benchmem ./internal/record | grep -E '^Benchmark'
