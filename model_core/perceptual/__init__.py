"""Perceptual distances: ST-LPIPS, the lpips package, VGG features."""
