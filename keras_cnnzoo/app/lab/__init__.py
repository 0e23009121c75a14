"""The lab: what the lecture says about convolutional networks, run. A claim is one file in `claims/`."""
