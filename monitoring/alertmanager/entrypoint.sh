#!/bin/sh
# Lays out what Alertmanager reads, checks it, and becomes Alertmanager. Everything is optional; what is not set is
# left out, and without a single receiver it says so.
#
#   PAGERDUTY_ROUTING_KEY          critical alerts
#   SLACK_WEBHOOK_URL              critical alerts and warnings
#   WEBHOOK_URL, WEBHOOK_TOKEN     the same, as JSON with `Authorization: Bearer`
#   EMAIL_TO, EMAIL_FROM, SMTP_SMARTHOST (HOST:PORT), SMTP_USERNAME, SMTP_PASSWORD    the same, by e-mail with TLS
#   WATCHDOG_URL                   is called about every two minutes; should raise the alarm when it is not
#   EXTERNAL_URL                   where people reach Alertmanager, for links
#   HOST, PORT                     where to listen; every address, 9093
#   ALERTMANAGER_RUN, ALERTMANAGER_DATA   folders for what is written here, and for silences
#
# Further arguments go to Alertmanager.
set -eu

die() {
    echo "alertmanager/entrypoint.sh: $*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
run=${ALERTMANAGER_RUN:-/run/alertmanager}
port=${PORT:-9093}
case $port in '' | *[!0-9]*) die "PORT is a number; got '$port'" ;; esac

# plain NAME VALUE: refuses what could not stand in YAML as it is.
plain() {
    case $2 in
        *[!A-Za-z0-9@._~:/?#%=,+!*'&'-]* | [!A-Za-z0-9]*) die "$1 has a character that is not allowed here" ;;
    esac
}

# secret NAME VALUE: writes a file.
secret() { printf %s "$2" > "$run/secrets/$1"; }

umask 077
mkdir -p "$run/secrets"
rm -rf "$run/templates" && cp -R "$here/templates" "$run/templates"
on=

if [ -n "${PAGERDUTY_ROUTING_KEY:-}" ]; then
    on="$on pagerduty"
    secret pagerduty_routing_key "$PAGERDUTY_ROUTING_KEY"
fi
if [ -n "${SLACK_WEBHOOK_URL:-}" ]; then
    on="$on slack"
    case $SLACK_WEBHOOK_URL in
        *[[:space:]]*) die "SLACK_WEBHOOK_URL has blanks in it" ;;
        https://*) ;;
        *) die "SLACK_WEBHOOK_URL must begin with https://" ;;
    esac
    secret slack_webhook_url "$SLACK_WEBHOOK_URL"
fi
if [ -n "${WEBHOOK_URL:-}" ]; then
    on="$on webhook"
    plain WEBHOOK_URL "$WEBHOOK_URL"
    [ -n "${WEBHOOK_TOKEN:-}" ] || die "WEBHOOK_URL needs WEBHOOK_TOKEN, by which the receiver knows who calls"
    secret webhook_token "$WEBHOOK_TOKEN"
fi
if [ -n "${EMAIL_TO:-}" ]; then
    on="$on email"
    for name in EMAIL_TO EMAIL_FROM SMTP_SMARTHOST SMTP_USERNAME SMTP_PASSWORD; do
        eval "value=\${$name:-}"
        [ -n "$value" ] || die "EMAIL_TO needs $name"
        [ "$name" = SMTP_PASSWORD ] || plain "$name" "$value"
    done
    secret smtp_password "$SMTP_PASSWORD"
fi
[ -n "$on" ] || echo "alertmanager/entrypoint.sh: no receiver is set, nobody will be told of an alert" >&2
if [ -n "${WATCHDOG_URL:-}" ]; then
    on="$on watchdog"
    plain WATCHDOG_URL "$WATCHDOG_URL"
fi

# An integration goes from its `..._configs:` to the next one or the next receiver. The values are put in as text,
# not as a pattern.
ON="$on " awk '
    function put(from, to,   at) {
        at = index($0, from)
        if (at) $0 = substr($0, 1, at - 1) "\"" to "\"" substr($0, at + length(from))
    }
    BEGIN { keep = 1 }
    /^  - name: / { keep = 1; receiver = $3 }
    /^    [a-z]+_configs:/ {
        name = $1
        sub(/_configs:/, "", name)
        if (receiver == "watchdog") name = receiver
        keep = index(ENVIRON["ON"], " " name " ")
    }
    !keep { next }
    {
        put("http://webhook.invalid/", ENVIRON["WEBHOOK_URL"])
        put("http://watchdog.invalid/", ENVIRON["WATCHDOG_URL"])
        put("to@email.invalid", ENVIRON["EMAIL_TO"])
        put("from@email.invalid", ENVIRON["EMAIL_FROM"])
        put("smarthost.invalid:587", ENVIRON["SMTP_SMARTHOST"])
        put("username.invalid", ENVIRON["SMTP_USERNAME"])
        print
    }
' "$here/alertmanager.yml" > "$run/alertmanager.yml"
unset PAGERDUTY_ROUTING_KEY SLACK_WEBHOOK_URL WEBHOOK_URL WEBHOOK_TOKEN SMTP_PASSWORD WATCHDOG_URL
amtool check-config "$run/alertmanager.yml" > "$run/check.log" 2>&1 || {
    cat "$run/check.log" >&2
    die "the configuration is wrong"
}

# One instance needs no gossip. Debian calls the program otherwise.
program=alertmanager
command -v "$program" > /dev/null || program=prometheus-alertmanager
[ -z "${EXTERNAL_URL:-}" ] || set -- --web.external-url="$EXTERNAL_URL" "$@"
exec "$program" \
    --config.file="$run/alertmanager.yml" \
    --storage.path="${ALERTMANAGER_DATA:-/alertmanager}" \
    --web.listen-address="${HOST:-}:$port" \
    --cluster.listen-address= \
    "$@"
