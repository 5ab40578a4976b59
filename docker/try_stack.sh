#!/usr/bin/env bash
# Runs the compose stack once through: a face made, embedded, refined by the worker; metrics; stop.
#
#   docker/try_stack.sh
#   COMPOSE="podman-compose --in-pod=false" SERVICES="valkey api worker prometheus" docker/try_stack.sh
#
# APP_IMAGE, VALKEY_IMAGE and the others of docker-compose.yml choose images; they must be built.
set -euo pipefail
cd "$(dirname "$0")/.."

read -ra compose <<<"${COMPOSE:-docker compose}"
read -ra services <<<"${SERVICES:-valkey api worker prometheus grafana}"
api=http://127.0.0.1:8000
prometheus=http://127.0.0.1:9090
folder=$(mktemp --directory)

finish() {
    status=$?
    [ "$status" = 0 ] || "${compose[@]}" logs --tail 40 api worker >&2 || true
    "${compose[@]}" down --timeout 60 >"$folder/down.log" 2>&1 || cat "$folder/down.log" >&2
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

# pick EXPRESSION: print what a Python expression finds in the JSON object on standard input.
pick() { python3 -c 'import json, sys; it = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# await SECONDS COMMAND...: repeat a command until it succeeds.
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { echo "too long: $*" >&2; return 1; }
        sleep 1
    done
}

query() {
    curl --silent --fail --get "$prometheus/api/v1/query" --data-urlencode "query=$1" |
        pick '"\n".join(" ".join([*(f"{k}={v}" for k, v in sorted(r["metric"].items()) if k in ("job", "op", "state")), r["value"][1]]) for r in it["data"]["result"])'
}

scraped() { [ "$(query "$1" | awk '{ sum += $NF } END { print (sum >= '"$2"') }')" = 1 ]; }

ended() {
    curl --silent --fail "$api$job" >"$folder/job.json"
    [[ $(pick 'it["state"]' <"$folder/job.json") =~ succeeded|failed|cancelled ]]
}

"${compose[@]}" up --detach --no-build "${services[@]}" >"$folder/up.log" 2>&1 || { cat "$folder/up.log" >&2; exit 1; }
say "started: ${services[*]}"
await 600 curl --silent --fail "$api/readyz"
say "ready: $(curl --silent "$api/version" | pick '" ".join(str(it[k]) for k in ("version", "generator", "device", "backend"))')"

curl --silent --fail --form seed=7 --header 'Accept: image/jpeg' "$api/generate" --output "$folder/face.jpg"
say "POST /generate: a face, $(wc -c <"$folder/face.jpg") bytes of JPEG"

curl --silent --fail --form image=@"$folder/face.jpg" "$api/embed" >"$folder/embed.json"
say "POST /embed: $(pick 'it["face"]["count"]' <"$folder/embed.json") face, $(pick '"PSNR {psnr:.2f} dB, LPIPS {lpips:.3f}".format(**it["quality"])' <"$folder/embed.json"), code of $(pick 'it["code"]["shape"]' <"$folder/embed.json")"

job=$(curl --silent --fail --form image=@"$folder/face.jpg" --form steps="${STEPS:-20}" "$api/refine" | pick 'it["urls"]["self"]')
say "POST /refine: accepted"
await 900 ended
say "job: $(pick '"{state} after {step} steps, PSNR {psnr:.2f} dB, LPIPS {lpips:.3f}".format(**it["progress"], state=it["state"])' <"$folder/job.json")"
[ "$(pick 'it["state"]' <"$folder/job.json")" = succeeded ]
curl --silent --fail --header 'Accept: image/png' "$api$job/result" --output "$folder/refined.png"
say "its result: $(wc -c <"$folder/refined.png") bytes of PNG"

await 90 scraped 'wplus_job_steps_total' "${STEPS:-20}"
say "Prometheus: targets up"
query 'max by (job) (up{job=~"wplus-.*"})' | sed 's/^/          /'
say "Prometheus: requests answered"
query 'sum by (op) (wplus_inference_requests_total{outcome="ok"}) > 0' | sed 's/^/          /'

"${compose[@]}" stop --timeout 60 >"$folder/stop.log" 2>&1 || { cat "$folder/stop.log" >&2; exit 1; }
say "stopped"
