"""Whether two faces are one person's, by the similarity that the identity judge finds."""

SAME_PERSON_SIMILARITY = 0.541
"""Least cosine of FaceRes's descriptors at which two photos are taken for one person's.

One pair of strangers in a hundred is at or above it. Measured on aligned photographs of 849 persons
(914 photos; 417,080 pairs of strangers, 160 pairs of one person, of which .994 are at or above it;
area under the curve .9997; means .367 and .783). Over all 4,362 persons of the collection the same
rule gives .542.

    python -m model_core.evaluation.identity_threshold DIR ... --persons TSV

measures it anew on other photographs. Many of the persons are celebrities, whose photos resemble
each other more than snapshots do.
"""


def is_same_person(similarity: float | None) -> bool | None:
    """Judge a similarity; None, where there is none, stays None."""
    return None if similarity is None else similarity >= SAME_PERSON_SIMILARITY
