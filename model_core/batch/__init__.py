"""Whole folders of photos: codes, figures and images, resumable."""
