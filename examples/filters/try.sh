#!/usr/bin/env bash
# Takes a new plugin from nothing to live traffic, in each language: new, build, test, copied into the plugin folder of a running
# gateway, and then its effect on a whole and on a streamed response, by curl.
#
#     examples/filters/try.sh              # rust, c, js, ts, python, go
#     examples/filters/try.sh python       # one of them
#
# SLUICEGATE names the program (default: the one on the PATH). Needs curl, and the tools of the languages, see README.md.
set -euo pipefail

sluicegate=${SLUICEGATE:-sluicegate}
languages=("$@")
((${#languages[@]})) || languages=(rust c js ts python go)

work=$(mktemp -d)
gateway=
clean() {
  [[ -z "$gateway" ]] || kill "$gateway" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT

say() { printf '%s\n' "$*"; }
fail() {
  say "FAILED: $*" >&2
  [[ ! -s "$work/log" ]] || tail -n 20 "$work/log" >&2
  exit 1
}

# Runs a command until it succeeds, for at most $1 seconds.
until_true() {
  local seconds=$1
  shift
  local end=$((SECONDS + seconds))
  until "$@"; do
    ((SECONDS < end)) || return 1
    kill -0 "$gateway" 2>/dev/null || fail "the gateway has ended"
    sleep 0.2
  done
}

configure() { # the stages of the route
  cat >"$work/gateway.new" <<TOML
[[listener]]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[log]
format = "json"
[plugins]
dir = "plugins"
[upstream.ollama]
adapter = "ollama"
targets = ["http://127.0.0.1:11434"]
[[route]]
path = "/v1/chat/completions"
methods = ["POST"]
pipeline = [$1]
upstream = "ollama"
TOML
  mv "$work/gateway.new" "$work/gateway.toml"
}

address= admin=
has_begun() {
  address=$(sed -n 's|^Sluicegate is running at \(http://[0-9.:]*\).*|\1|p' "$work/log")
  admin=$(sed -n 's|.*curl \(http://[0-9.:]*\)/readyz.*|\1|p' "$work/log")
  [[ -n "$address" && -n "$admin" ]]
}

# Asks for a model that does not exist: the plugin names one that does.
ask() { # stream, further words for curl
  local stream=$1
  shift
  curl -sS --max-time 60 "$@" "$address/v1/chat/completions" \
    -d "{\"model\":\"none\",\"stream\":$stream,\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}"
}

is_live() { ask false -i -H 'x-team: blue' | grep -q "x-plugin: $1"; }

expect() { # what it is, a pattern, the text
  grep -q -- "$2" <<<"$3" || fail "$1: $2 is not in: $3"
}

try() {
  local language=$1 name="try-$1" began=$SECONDS project="$work/$1"
  "$sluicegate" plugin new "$name" --lang "$language" --exports gate,request,response,events --dir "$project" >/dev/null
  prepare "$language" "$project"
  "$sluicegate" plugin build "$project"
  "$sluicegate" plugin test "$project"
  local built=$SECONDS

  # As an operator does: the configuration first, then the component in one step.
  printf '[config]\nheader = "x-team"\nmodel = "qwen3:32b"\nword = "Send"\nby = "[%s]"\n' "$language" >"$work/plugins/$name.toml"
  cp "$project/build/$name.wasm" "$work/plugins/.$name.new"
  mv "$work/plugins/.$name.new" "$work/plugins/$name.wasm"
  configure "\"$name\", \"aggregate\""
  until_true 120 is_live "$name" || fail "$language: the plugin is not live"

  local refused whole stream
  refused=$(ask false -i)
  expect "$language, without the field" '^HTTP/1.1 401' "$refused"
  whole=$(ask false -i -H 'x-team: blue')
  expect "$language, a whole response" '^HTTP/1.1 200' "$whole"
  expect "$language, a whole response" "x-plugin: $name" "$whole"
  expect "$language, a whole response" "\[$language\]" "$whole"
  stream=$(ask true -N -i -H 'x-team: blue')
  expect "$language, a stream" "x-plugin: $name" "$stream"
  expect "$language, a stream" "\[$language\]" "$stream"
  expect "$language, a stream" '^data: \[DONE\]' "$stream"
  say "$language: built and tested in $((built - began)) s, live after $((SECONDS - built)) s: refuses, and changes whole and streamed responses"
}

# What an author does once by hand: the tools of the language, in the project.
prepare() {
  case $1 in
    js | ts) (cd "$2" && npm install --silent --no-audit --no-fund) ;;
    python) (cd "$2" && python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt) ;;
  esac
}

mkdir "$work/plugins"
configure '"aggregate"'
(cd "$work" && exec "$sluicegate" demo --config gateway.toml) >"$work/log" 2>&1 &
gateway=$!
until_true 60 has_begun || fail "the gateway does not begin"
for language in "${languages[@]}"; do
  try "$language"
done
kill -0 "$gateway" || fail "the gateway has ended"
say "${#languages[@]} languages, one gateway, no restart"
