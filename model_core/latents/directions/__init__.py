"""Directions in W+ along which one attribute of a face changes: stored, loaded and fitted."""
