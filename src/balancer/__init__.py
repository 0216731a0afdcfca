"""The gRPC proxy in front of the model servers; torch-free."""
