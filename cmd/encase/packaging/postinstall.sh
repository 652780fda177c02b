#!/bin/sh
# After the files are there. dpkg says "configure", rpm how many versions are installed now. DPKG_ROOT is where dpkg
# installs to, if that is not /.
set -e
root="${DPKG_ROOT:-}"
case "${1:-}" in configure | [0-9]*) ;; *) exit 0 ;; esac

# The user, if systemd is not there to make it, and the folders.
if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers --root="$root/" encase.conf
elif ! grep -q '^encase:' "$root/etc/passwd"; then
  useradd --system --user-group --home-dir /var/lib/encase --no-create-home --shell /usr/sbin/nologin \
    ${root:+--root "$root"} encase
fi
ids=$(sed -n 's/^encase:[^:]*:\([0-9]*\):\([0-9]*\):.*/\1 \2/p' "$root/etc/passwd")
folder() { # MODE OWNER GROUP PATH
  mkdir -p "$root$4"
  chown "$2:$3" "$root$4"
  chmod "$1" "$root$4"
}
folder 0750 0 "${ids#* }" /etc/encase
folder 0750 "${ids% *}" "${ids#* }" /var/lib/encase

[ -z "$root" ] && [ -d /run/systemd/system ] || exit 0
systemd-tmpfiles --create encase.conf || true
systemctl daemon-reload || true

# Tunnels that are up get the new program, but for those whose configuration it does not take: they go on as they are.
for unit in $(systemctl list-units --plain --no-legend --state=active 'encase@*.service' | cut -d ' ' -f 1); do
  name=$(systemd-escape --unescape --instance "$unit")
  if encase check "$name" >/dev/null; then
    systemctl try-restart "$unit" || echo "encase: $unit does not start again; see: systemctl status $unit" >&2
  else
    echo "encase: $unit was not restarted, its configuration has mistakes; see: encase check $name" >&2
  fi
done
