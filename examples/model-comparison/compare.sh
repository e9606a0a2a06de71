#!/usr/bin/env bash
# Models side by side: first a tool call, then structured output. MODELS is a comma-separated list.
set -euo pipefail
cd "$(dirname "$0")"
dragoman=${DRAGOMAN_COMMAND:-dragoman}
models=${MODELS:-demo}

echo "# Do they call the tool?"
$dragoman compare "Use the tool: what is the weather in Paris?" --models "$models" \
  --tools tools.json --expect-tool get_weather --quiet

echo "# Do they keep to the schema?"
$dragoman compare "Describe Paris as JSON." --models "$models" --schema city.json --quiet

echo "# The same as Markdown, for a report"
$dragoman compare "Describe Paris as JSON." --models "$models" --schema city.json --quiet --output md
