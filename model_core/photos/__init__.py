"""Photos from files, untrusted ones too: upright sRGB pixels or a reason why not."""
