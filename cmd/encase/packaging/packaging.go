// Package packaging holds what lies beside the command when it is installed: the unit of systemd, users and folders,
// examples of configurations, a dashboard. It has no code; its tests see to it that all of that fits the command.
package packaging
