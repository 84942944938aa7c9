"""What tests, benchmarks and the torture share: nothing that they start outlives them."""
