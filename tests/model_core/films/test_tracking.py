import numpy as np

from model_core.films.observing import SeenFace, SeenFrame
from model_core.films.tracking import BRIDGED_FRAMES, link, persons

WHO = np.eye(8, dtype=np.float32)


def seen_face(x, who=None, width=40.0, y=50.0):
    """A face whose middle is at a place."""
    box = (x - width / 2, y - width / 2, x + width / 2, y + width / 2)
    mean_face = np.random.default_rng(0).uniform(-0.4, 0.4, (68, 2))
    mean_face[36:42], mean_face[42:48] = (-0.2, -0.1), (0.2, -0.1)
    mean_face[48], mean_face[54] = (-0.15, 0.25), (0.15, 0.25)
    return SeenFace(box, mean_face * width + (x, y), 1.0, None if who is None else WHO[who])


def film(*frames, cuts=()):
    return [(i, SeenFrame(i, 0.0, list(faces)), i in cuts) for i, faces in enumerate(frames)]


def indices(tracks):
    return sorted(track.indices for track in tracks)


def test_a_moving_face_is_one_track():
    frames = film(*[[seen_face(50 + 3 * i, 0 if i % 4 == 0 else None)] for i in range(10)])
    assert indices(link(frames)) == [list(range(10))]


def test_two_faces_are_two_tracks():
    frames = film(*[[seen_face(50 + i, 0), seen_face(150 - i, 1)] for i in range(10)])
    tracks = link(frames)
    assert indices(tracks) == [list(range(10))] * 2
    assert len(persons(tracks)) == 2


def test_a_short_gap_is_bridged_and_a_long_one_is_not():
    for gap, count in ((BRIDGED_FRAMES, 1), (BRIDGED_FRAMES + 1, 2)):
        faces = [[seen_face(50, 0)]] * 3
        tracks = link(film(*faces, *[[]] * gap, *faces))
        assert len(tracks) == count
        assert len(persons(tracks)) == 1


def test_a_track_ends_at_a_cut():
    assert indices(link(film(*[[seen_face(50, 0)]] * 6, cuts=(4,)))) == [[0, 1, 2, 3], [4, 5]]


def test_somebody_else_in_the_same_place_is_another_track():
    tracks = link(film(*[[seen_face(50, 0)]] * 3, *[[seen_face(51, 1)]] * 3))
    assert indices(tracks) == [[0, 1, 2], [3, 4, 5]]
    assert len(persons(tracks)) == 2


def test_a_person_is_known_again_after_others():
    tracks = link(
        film(
            *[[seen_face(50, 0)]] * 3,
            *[[seen_face(50, 1)]] * 4,
            *[[seen_face(150, 0)]] * 3,
        )
    )
    first, second = persons(tracks)
    assert indices(first) == [[0, 1, 2], [7, 8, 9]]
    assert indices(second) == [[3, 4, 5, 6]]


def test_who_fills_most_of_the_film_comes_first():
    large = [[seen_face(50, 0, width=20), seen_face(150, 1, width=80)]] * 3
    long = [[seen_face(50, 0, width=20)]] * 20
    assert persons(link(film(*large, *long)))[0][0].descriptor @ WHO[1] > 0


def test_grouping_can_be_stopped():
    tracks = link(film([seen_face(50, 0), seen_face(150, 1)]))
    asked = []
    assert len(persons(tracks, lambda: asked.append(1))) == 2
    assert len(asked) == 2


def test_who_has_no_descriptor_is_nobody_known():
    tracks = link(film([seen_face(50), seen_face(150, 1)], [], *[[]] * 9, [seen_face(50)]))
    assert sorted(map(len, persons(tracks))) == [1, 1, 1]


def test_a_track_is_split_where_the_face_jumps():
    places = [50 + 0.2 * i for i in range(6)] + [58 + 0.2 * i for i in range(6)]
    (track,) = link(film(*[[seen_face(x, 0)] for x in places]))
    assert indices(track.parts()) == [list(range(6)), list(range(6, 12))]
    (steady,) = link(film(*[[seen_face(50 + 4 * i, 0)] for i in range(12)]))
    assert indices(steady.parts()) == [list(range(12))]
