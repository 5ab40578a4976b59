"""A drawn face of 68 landmarks, symmetric, eyes 100 px apart, that can turn and smile."""

import numpy as np


def face(turn=0.0, smiling=0.0):
    """The 68 points (68, 2), x to the right and y down, the middle of the eyes at 0, 0."""
    points = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[0:17] = np.stack([90 * np.cos(angle), 110 * np.sin(angle)], axis=1)
    points[17:27] = np.stack([np.linspace(-70, 70, 10), np.full(10, -25)], axis=1)
    points[27:36] = np.stack([[0, 0, 0, 0, -15, -7, 0, 7, 15], np.linspace(0, 50, 9)], axis=1)
    ring = np.linspace(np.pi, 3 * np.pi, 6, endpoint=False)  # from the left corner over the top
    for first, x in ((36, -50), (42, 50)):
        points[first : first + 6] = np.stack([x + 12 * np.cos(ring), 5 * np.sin(ring)], axis=1)
    for first, count, x, y in ((48, 12, 40, 12), (60, 8, 30, 6)):
        ring = np.linspace(np.pi, 3 * np.pi, count, endpoint=False)
        mouth = np.stack([x * np.cos(ring), 75 + y * np.sin(ring)], axis=1)
        points[first : first + count] = mouth
    points[[48, 54]] += np.array([[-20, -10], [20, -10]]) * smiling
    points[30:36, 0] += 30 * turn
    return points
