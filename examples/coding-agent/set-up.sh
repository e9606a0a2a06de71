#!/usr/bin/env bash
# A route with a fallback, and a key that may spend 5 US dollars a day on it. Needs curl.
set -euo pipefail
base=${DRAGOMAN_BASE_URL:-http://localhost:4000}
first=${FIRST:-demo/demo-429}
second=${SECOND:-demo/demo-fast}

post() {
  curl -sSf -X POST "$base/api/$1" -H "Authorization: Bearer $DRAGOMAN_ADMIN_KEY" \
    -H "Content-Type: application/json" -d "$2"
}
post routes '{
  "name": "coder",
  "retries": 1,
  "steps": [
    {"targets": [{"model": "'"$first"'"}]},
    {"targets": [{"model": "'"$second"'"}]}
  ]
}' >/dev/null
post keys '{
  "name": "coding-agent",
  "routes": ["coder"],
  "limits": {"requests_per_minute": 60},
  "budget": {"day_usd": "5"}
}' | sed -n 's/.*"key": *"\([^"]*\)".*/\1/p'
