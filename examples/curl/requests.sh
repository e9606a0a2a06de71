#!/usr/bin/env bash
# The gateway's APIs without an SDK. Needs curl.
set -euo pipefail
base=${DRAGOMAN_BASE_URL:-http://localhost:4000}
model=${MODEL:-demo}
key="Authorization: Bearer $DRAGOMAN_API_KEY"
json="Content-Type: application/json"

echo "# models"
curl -sSf "$base/v1/models" -H "$key"

echo; echo "# OpenAI Chat Completions"
curl -sSf "$base/v1/chat/completions" -H "$key" -H "$json" \
  -d '{"model": "'"$model"'", "messages": [{"role": "user", "content": "Say hello."}]}'

echo; echo "# OpenAI Responses"
curl -sSf "$base/v1/responses" -H "$key" -H "$json" -d '{"model": "'"$model"'", "input": "Say hello."}'

echo; echo "# Anthropic Messages, streamed"
curl -sSfN "$base/v1/messages" -H "$key" -H "$json" -d '{"model": "'"$model"'", "max_tokens": 100,
  "stream": true, "messages": [{"role": "user", "content": "Say hello."}]}'

echo; echo "# Gemini"
curl -sSf "$base/v1beta/models/$model:generateContent" -H "$key" -H "$json" \
  -d '{"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}'

echo; echo "# Ollama"
curl -sSf "$base/api/chat" -H "$key" -H "$json" \
  -d '{"model": "'"$model"'", "stream": false, "messages": [{"role": "user", "content": "Say hello."}]}'

echo; echo "# headers: the request's id, its cost, and what translation dropped (top_k)"
curl -sSf -D - -o /dev/null "$base/v1/messages" -H "$key" -H "$json" -d '{"model": "'"$model"'",
  "max_tokens": 20, "top_k": 5, "messages": [{"role": "user", "content": "Say hello."}]}' \
  | grep -i -E "^(x-request-id|x-dragoman)"
