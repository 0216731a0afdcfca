"""What any of our processes needs; torch-free."""
