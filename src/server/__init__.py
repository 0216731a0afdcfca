"""The model server: one process, one device, the public API over gRPC, and the command line."""
