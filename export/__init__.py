"""Keras model to a small file whose answers are proven: lower, emit, quantize, verify, write the card."""
