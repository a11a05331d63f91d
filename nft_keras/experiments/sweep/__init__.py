"""Combinations of settings, tried by any number of workers."""
