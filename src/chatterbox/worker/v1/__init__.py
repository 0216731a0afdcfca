"""Between our processes, generated from protos/ by `make protos`; do not edit."""
