#!/bin/sh
# Healthy means: an SSH server runs, the gateway answers, the disk has room (guide: Phase 4, Health Checks). The first
# line says whether, what follows says why not.

check_ssh() {
    # Not pgrep: its library would bring a part of systemd along.
    pidof {{ health.daemons | join(" ") }} >/dev/null
}

check_network() {
    ping -c 1 -W 1 {{ network.gateway_address.ip }} >/dev/null 2>&1
}

check_disk() {
    usage=$(df -P / | tail -1 | awk '{print $5}' | tr -d '%')
    [ "$usage" -lt {{ health.disk_limit_percent }} ]
}

causes=
check_ssh || causes="$causes
no SSH server runs"
check_network || causes="$causes
the gateway does not answer"
check_disk || causes="$causes
the disk is $usage % full"

if [ -z "$causes" ]; then
    echo {{ health.healthy }}
    exit 0
else
    echo "{{ health.unhealthy }}$causes"
    exit 1
fi
