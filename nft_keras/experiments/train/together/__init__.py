"""Many trials in one compiled program, on JAX."""
