#!/bin/sh
# After the files are gone. Leases, bans and the like go when dpkg is told to purge; what others have put into
# /etc/encase, such as keys, is theirs.
set -e
root="${DPKG_ROOT:-}"
if [ "${1:-}" = purge ]; then
  rm -rf "$root/var/lib/encase" "$root/run/encase"
  rmdir "$root/etc/encase" 2>/dev/null || true
fi
[ -z "$root" ] && [ -d /run/systemd/system ] || exit 0
systemctl daemon-reload || true
