#!/usr/bin/env bash
# Claude Code on a model of the gateway, for this session only.
set -euo pipefail
export ANTHROPIC_BASE_URL=${DRAGOMAN_BASE_URL:-http://localhost:4000}
export ANTHROPIC_AUTH_TOKEN=$DRAGOMAN_API_KEY
export ANTHROPIC_MODEL=${MODEL:-demo}
export ANTHROPIC_DEFAULT_HAIKU_MODEL=$ANTHROPIC_MODEL
exec "${CLAUDE:-claude}" "$@"
