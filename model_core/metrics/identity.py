"""Whether two faces show the same person, by the identity judge's similarity."""

SAME_PERSON_SIMILARITY = 0.541
"""Cosine of FaceRes's descriptors from which two photos count as one person's.

One pair of strangers in a hundred is at or above it. Measured on aligned photographs of 849 persons
(914 photos; 417,080 pairs of strangers, 160 pairs of one person, of which .994 are at or above it;
area under the curve .9997; means .367 and .783). Over all 4,362 persons of the collection the same
rule gives .542.

    python -m model_core.evaluation.identity_threshold DIR ... --persons TSV

measures it again on other photographs. Many of the persons are celebrities, whose photos resemble
each other more than snapshots do.
"""


def is_same_person(similarity: float | None) -> bool | None:
    """Apply the threshold to a similarity; None stays None."""
    return None if similarity is None else similarity >= SAME_PERSON_SIMILARITY
