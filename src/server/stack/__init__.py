"""The whole stack on one machine: Envoy's configuration, and the processes and their supervisor."""
