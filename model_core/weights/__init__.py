"""Pretrained weights: wheel packs, their cache, and safetensors with sidecars."""
