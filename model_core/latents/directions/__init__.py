"""Directions in W+ along which one attribute of a face changes: kept, loaded and fitted."""
