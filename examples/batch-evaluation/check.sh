#!/usr/bin/env bash
# A step of CI: fails if a model is below the pass rate, and leaves a report.
set -euo pipefail
cd "$(dirname "$0")"
dragoman=${DRAGOMAN_COMMAND:-dragoman}
report=${REPORT:-/dev/null}
$dragoman eval evaluation.yaml --models "${MODELS:-demo}" --quiet --output md | tee "$report"
