#!/bin/sh
# Puts the address of the runbooks into the dashboard, and becomes Grafana.
#
#   GF_SECURITY_ADMIN_PASSWORD   required, unless GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION is true
#   PROMETHEUS_URL               http://prometheus.railway.internal:9090
#   RUNBOOKS_URL                 the folder of the runbooks, for links
#   PORT                         3000
#   GF_*                         any other setting of Grafana's
#   GRAFANA_RUN                  folder for what is written here; the provisioning names it
set -eu

die() {
    echo "grafana/entrypoint.sh: $*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
run=${GRAFANA_RUN:-/dev/shm/grafana}
url=${RUNBOOKS_URL:-monitoring/runbooks}
# The dashboard puts a slash and the name of a file behind it.
url=${url%/}

[ -n "${GF_SECURITY_ADMIN_PASSWORD:-}" ] || [ "${GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION:-}" = true ] ||
    die "set GF_SECURITY_ADMIN_PASSWORD; admin/admin will not do"
case $url in *[!A-Za-z0-9._~:/?#%=+-]*) die "RUNBOOKS_URL has a character that is not allowed here" ;; esac

mkdir -p "$run/dashboards"
# As text, not as a pattern.
URL=$url awk '
    {
        at = index($0, "\"monitoring/runbooks\"")
        if (at) $0 = substr($0, 1, at) ENVIRON["URL"] substr($0, at + length("\"monitoring/runbooks"))
        print
    }
' "$here/dashboards/models-monitoring.json" > "$run/dashboards/models-monitoring.json"

export GF_SERVER_HTTP_PORT="${PORT:-3000}"
export GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH="$run/dashboards/models-monitoring.json"
exec /run.sh "$@"
