#!/bin/sh
# Before the files go. dpkg says "remove" or "upgrade", rpm how many versions will be left: tunnels end only if there
# will be none.
set -e
case "${1:-}" in remove | 0) ;; *) exit 0 ;; esac
[ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ] || exit 0
for unit in $(systemctl list-units --plain --no-legend --all 'encase@*' | cut -d ' ' -f 1); do
  systemctl stop "$unit" || true
done
for link in /etc/systemd/system/*.wants/encase@*; do
  [ -L "$link" ] && systemctl disable "$(basename "$link")" || true
done
