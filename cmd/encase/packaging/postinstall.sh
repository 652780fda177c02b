#!/bin/sh
set -e
systemd-sysusers encase.conf || true
systemd-tmpfiles --create encase.conf || true
systemctl daemon-reload || true
