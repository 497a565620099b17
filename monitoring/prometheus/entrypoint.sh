#!/bin/sh
# Lays out what Prometheus reads, checks it, and becomes Prometheus.
#
#   METRICS_TOKEN        what the gateway's /metrics wants; required
#   SCRAPE               private (default): every replica over Railway's private network
#                        public: one replica by https, job gatewayz_staging
#                        local: a gateway nearby by http
#   SCRAPE_TARGET        HOST:PORT of the gateway; private: gatewayz.railway.internal:8080, local: gateway:8080,
#                        public: must be given (the port may be left out)
#   ALERTMANAGER_TARGET  HOST:PORT; default alertmanager.railway.internal:9093
#   GRAFANA_URL          where alerts point to; default http://localhost:3000
#   RUNBOOKS_URL         the folder of the runbooks; default: their path in the repository
#   ENVIRONMENT          label of every alert; default Railway's name of the environment, or local
#   RETENTION, RETENTION_SIZE   35d, 4GB: keep the size below that of the volume
#   HOST, PORT           where to listen; every address, 9090
#   PROMETHEUS_RUN, PROMETHEUS_DATA   folders for what is written here, and for the samples
#
# Further arguments go to Prometheus.
set -eu

die() {
    echo "prometheus/entrypoint.sh: $*" >&2
    exit 1
}

is_port() {
    case $1 in '' | 0* | ??????* | *[!0-9]*) return 1 ;; esac
    [ "$1" -le 65535 ]
}

# address NAME VALUE: HOST:PORT and nothing else, since it goes into files of other formats.
address() {
    case $2 in
        '' | *[!A-Za-z0-9.:_-]* | *:*:* | :*) die "$1 is HOST:PORT, without a scheme or a path; got '$2'" ;;
        *:*) is_port "${2#*:}" || die "the port of $1 is a number from 1 to 65535; got '$2'" ;;
        *) die "$1 needs a port; got '$2'" ;;
    esac
}

here=$(cd "$(dirname "$0")" && pwd)
run=${PROMETHEUS_RUN:-/run/prometheus}
port=${PORT:-9090}

[ -n "${METRICS_TOKEN:-}" ] || die "set METRICS_TOKEN to the value that the gateway has"
case ${SCRAPE:=private} in
    private) job=gatewayz_private target=${SCRAPE_TARGET:-gatewayz.railway.internal:8080} ;;
    public) job=gatewayz_staging target=${SCRAPE_TARGET:-} ;;
    local) job=gatewayz_local target=${SCRAPE_TARGET:-gateway:8080} ;;
    *) die "SCRAPE is private, public or local, not '$SCRAPE'" ;;
esac
case $SCRAPE-$target in
    public-*:* | public- | private-* | local-*) address SCRAPE_TARGET "$target" ;;
    *) address SCRAPE_TARGET "$target:443" ;; # which https has by itself
esac
alertmanager=${ALERTMANAGER_TARGET:-alertmanager.railway.internal:9093}
address ALERTMANAGER_TARGET "$alertmanager"
is_port "$port" || die "PORT is a number from 1 to 65535; got '$port'"

mkdir -p "$run/secrets" "$run/targets"
rm -rf "$run/rules" && cp -R "$here/rules" "$run/rules"
(umask 077 && printf %s "$METRICS_TOKEN" > "$run/secrets/metrics_token")
unset METRICS_TOKEN
printf '[{"targets": ["%s"]}]\n' "$alertmanager" > "$run/targets/alertmanager.json"
printf '[{"targets": ["127.0.0.1:%s"]}]\n' "$port" > "$run/targets/prometheus.json"
[ "$job" = gatewayz_private ] || printf '[{"targets": ["%s"]}]\n' "$target" > "$run/targets/$job.json"

# The jobs of the gateway that are off are left out; the private one gets its name and port.
awk -v on="$job" -v host="${target%:*}" -v port="${target##*:}" '
    /^[^ ]/ { keep = 1 }
    /^  - job_name: / { keep = ($3 !~ /^gatewayz_/ || $3 == on) }
    $1 == "-" && $2 == "names:" { sub(/\[.*\]/, "[" host "]") }
    $1 == "port:" { sub(/[0-9]+$/, port) }
    keep
' "$here/prom.yml" > "$run/prom.yml"
promtool check config "$run/prom.yml" > "$run/check.log" 2>&1 || {
    cat "$run/check.log" >&2
    die "the configuration is wrong"
}

export ENVIRONMENT="${ENVIRONMENT:-${RAILWAY_ENVIRONMENT_NAME:-local}}"
# Alerts put a slash and the rest behind them.
GRAFANA_URL=${GRAFANA_URL:-http://localhost:3000} RUNBOOKS_URL=${RUNBOOKS_URL:-monitoring/runbooks}
export GRAFANA_URL="${GRAFANA_URL%/}" RUNBOOKS_URL="${RUNBOOKS_URL%/}"
# 3.x expands the environment without the flag and says so.
exec prometheus \
    --config.file="$run/prom.yml" \
    --enable-feature=expand-external-labels \
    --storage.tsdb.path="${PROMETHEUS_DATA:-/prometheus}" \
    --storage.tsdb.retention.time="${RETENTION:-35d}" \
    --storage.tsdb.retention.size="${RETENTION_SIZE:-4GB}" \
    --web.listen-address="${HOST:-}:$port" \
    "$@"
