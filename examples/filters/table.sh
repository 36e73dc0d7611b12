#!/usr/bin/env bash
# Prints what a plugin costs in each language, as a table: the same rule (request, response, events) from the template of
# `plugin new`, measured by `plugin inspect` and `plugin bench`.
#
#     examples/filters/table.sh            # rust, c, js, ts, python, go
#
# SLUICEGATE names the program (default: the one on the PATH); use a release build, on a machine with nothing else to do.
set -euo pipefail

sluicegate=${SLUICEGATE:-sluicegate}
languages=("$@")
((${#languages[@]})) || languages=(rust c js ts python go)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "| language | component | compiled | loaded in | an instance | head and body of the request | an event, 1 / 4 / 16 at a time | memory of a live instance |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- |"
for language in "${languages[@]}"; do
  project="$work/$language"
  "$sluicegate" plugin new cost --lang "$language" --exports request,response,events --dir "$project" >&2
  case $language in
    js | ts) (cd "$project" && npm install --silent --no-audit --no-fund) ;;
    python) (cd "$project" && python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt) ;;
  esac
  "$sluicegate" plugin build "$project" >&2
  component="$project/build/cost.wasm"
  config="$project/cases/example/config.toml"
  "$sluicegate" plugin inspect "$component" --config "$config" 2>/dev/null >"$work/inspect.json"
  "$sluicegate" plugin bench "$component" --config "$config" --json >"$work/bench.json"
  python3 - "$language" "$work/inspect.json" "$work/bench.json" <<'PYTHON'
import json
import sys

language, inspect, bench = sys.argv[1], json.load(open(sys.argv[2])), json.load(open(sys.argv[3]))
times = {row["name"]: row["p50-us"] for row in bench["times"]}


def size(count):
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def time(name):
    return next((value for key, value in times.items() if key.startswith(name)), None)


events = [time(f"events.batch, {count} at a time") for count in (1, 4, 16)]
request = [time("request.head"), time("request.body")]
print(
    f"| {language} | {size(inspect['component-bytes'])} | {size(inspect['code-bytes'])} | {inspect['load-ms'] / 1000:.1f} s"
    f" | {time('an instance'):.0f} µs | {sum(value or 0 for value in request):.0f} µs"
    f" | {' / '.join(f'{value:.1f}' for value in events)} µs | {size(bench['memory-bytes-per-instance'])} |"
)
PYTHON
done
