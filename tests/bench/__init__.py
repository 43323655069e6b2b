"""What benchmarks say of what they have measured."""
