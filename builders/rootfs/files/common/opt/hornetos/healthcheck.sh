#!/bin/sh
# Healthy means: the SSH server runs, the gateway answers, the disk has room (guide: Phase 4, Health Checks).

check_ssh() {
    # Not pgrep: its library would bring a part of systemd along.
    pidof {{ ssh_server }} >/dev/null
}

check_network() {
    ping -c 1 -W 1 {{ network.gateway_address.ip }} >/dev/null 2>&1
}

check_disk() {
    usage=$(df -P / | tail -1 | awk '{print $5}' | tr -d '%')
    [ "$usage" -lt 90 ]
}

if check_ssh && check_network && check_disk; then
    echo "HEALTHY"
    exit 0
else
    echo "UNHEALTHY"
    exit 1
fi
