"""Faces cut from photos as FFHQ's are."""
