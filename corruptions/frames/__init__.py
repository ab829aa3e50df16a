"""Damage to pictures and video frames [batch, time, channel, height, width] in 0 to 1.

Fifteen kinds with the constants of ImageNet-C (Hendrycks and Dietterich, "Benchmarking Neural Network Robustness
to Common Corruptions and Perturbations", ICLR 2019), and three that damage the order of frames. The constants
are in pixels of pictures of 224 x 224 and are not scaled to other sizes, except where the published recipe
scales them (elastic, fog's map). All frames of a sample share what lies between camera and scene or belongs to
the camera (frost, fog, glass, distortion, directions of motion); noise and snowflakes are new in every frame.
"""
