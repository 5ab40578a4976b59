"""Photos from files, including untrusted ones: upright sRGB pixels, or the reason why not."""
