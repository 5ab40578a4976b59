"""Exceptions that model_core raises on purpose; the service maps each to a status and a code."""


class WplusError(Exception):
    """Every error that this project raises on purpose."""


class InvalidInputError(WplusError, ValueError):
    """An argument breaks its rule; the message is "<name> must be <rule>, got <value>"."""


class NoFaceError(WplusError):
    """No face was found where one is needed."""


class ImageRejectedError(WplusError):
    """A photo cannot be taken in."""


class UnsupportedImageError(ImageRejectedError):
    """The bytes are no image, or one of a format that is not read."""


class BrokenImageError(ImageRejectedError):
    """The image is truncated or damaged."""


class TooManyPixelsError(ImageRejectedError):
    """The image has more pixels than it may."""


class TooSmallError(ImageRejectedError):
    """The image has fewer pixels on a side than it must."""


class NoEmbedderError(WplusError):
    """A photo is to be embedded, and no network does that for the generator in use."""


class CheckpointError(WplusError):
    """A weight file is missing, damaged, of an unknown layout or not what its digest says."""


class ModelMismatchError(WplusError):
    """A code or a network belongs to another generator than the one in use."""
