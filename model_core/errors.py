"""Exceptions that model_core raises on purpose; the service maps each to a status and a code."""


class WplusError(Exception):
    """Every error that this project raises on purpose."""


class InvalidInputError(WplusError, ValueError):
    """An argument breaks its rule; the message is "<name> must be <rule>, got <value>"."""


class NoFaceError(WplusError):
    """No face was found where one is required."""


class ImageRejectedError(WplusError):
    """A photo cannot be processed."""


class UnsupportedImageError(ImageRejectedError):
    """The bytes are not an image, or are in an unsupported format."""


class BrokenImageError(ImageRejectedError):
    """The image is truncated or damaged."""


class TooManyPixelsError(ImageRejectedError):
    """The image has too many pixels."""


class TooSmallError(ImageRejectedError):
    """The image has too few pixels on a side."""


class FilmRejectedError(WplusError):
    """A film cannot be processed."""


class UnsupportedFilmError(FilmRejectedError):
    """The file is not a film, or in an unsupported format."""


class BrokenFilmError(FilmRejectedError):
    """The film is truncated or damaged."""


class FilmTooLargeError(FilmRejectedError):
    """The film is too long, or its frames have too many pixels."""


class Stopped(WplusError):  # noqa: N818 - what was asked for, not a fault
    """The caller asked to stop; finished work is kept."""


class MissingExtraError(WplusError):
    """A package of an extra is not installed."""


class NoEmbedderError(WplusError):
    """A photo must be embedded, but there is no network for the generator in use."""


class CheckpointError(WplusError):
    """A weight file is missing, damaged, of an unknown layout, or has the wrong digest."""


class ModelMismatchError(WplusError):
    """A code or a network belongs to a different generator than the one in use."""
