"""Adversarial and random perturbations of finished classifiers."""
