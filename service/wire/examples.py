"""Examples in the OpenAPI document: what to send, and what comes back. Long values are cut."""

from typing import Any

LATENT_ID = "lIjhHFDCRBM3ik7QK_Vnjw"
PHOTO = "/9j/4AAQSkZJRgABAQAAAQABAAD"  # how the base64 of a JPEG begins
FACE = {"image": PHOTO}
STORED = {"latent_id": LATENT_ID}

BODIES: dict[str, dict[str, Any]] = {
    "EmbedBody": FACE | {"return": "both"},
    "QualityBody": FACE | STORED,
    "MorphBody": {"sources": [FACE, STORED], "lam": 0.5},
    "ColorizeBody": {"gray": FACE, "color": STORED, "keep_luminance": True},
    "MergeBody": {"identity": PHOTO, "attribute": PHOTO},
    "EditBody": STORED | {"direction": "smile", "strength": 1.5, "return": "image"},
    "GenerateBody": {"seed": 7, "psi": 0.7},
    "RefineBody": FACE | {"steps": 100},
}
"""JSON bodies, by model."""

CODE_ANSWER: dict[str, Any] = {
    "latent_id": LATENT_ID,
    "detail": True,
    "code": {
        "generator": "mobilestylegan-ffhq-1024",
        "fingerprint": "26edeccf4ad529dd6028e8bc48df1acd793a904817e57e0afcc9c2a160b3f8b3",
        "shape": [18, 512],
        "dtype": "float32",
        "encoding": "base64",
        "data": "NqcRPp44ET8o",
    },
    "image": {
        "media_type": "image/jpeg",
        "width": 1024,
        "height": 1024,
        "encoding": "base64",
        "data": PHOTO,
    },
    "timings_ms": {"synthesize": 85.2, "output": 21.4, "total": 112.9},
}
EMBED_ANSWER: dict[str, Any] = CODE_ANSWER | {
    "face": {
        "index": 0,
        "count": 1,
        "box": [179.98, 77.58, 273.42, 171.02],
        "landmarks": [[179.38, 104.04], [181.2, 116.8]],
        "score": 1.56,
        "quad": [[143.21, 15.84], [134.14, 187.85], [306.14, 196.91], [315.21, 24.91]],
    },
    "quality": {
        "psnr": 27.28,
        "ssim": 0.841,
        "lpips": 0.08,
        "lpips_net": "st-lpips-alex",
        "identity_similarity": 0.919,
        "same_person": True,
        "refine_recommended": False,
    },
    "polish_steps": 0,
}
JOB_ID = "9hGkf3QWvLmX1cRz7uTnPw"
FILM_JOB: dict[str, Any] = {
    "id": JOB_ID,
    "state": "running",
    "created": "2026-11-29T10:00:00Z",
    "started": "2026-11-29T10:00:02Z",
    "finished": None,
    "position": None,
    "attempts": 1,
    "error": None,
    "urls": {"self": f"/jobs/{JOB_ID}"}
    | {name: f"/jobs/{JOB_ID}/{name}" for name in ("events", "preview", "result")},
    "kind": "film",
    "directions": {"smile": 1.5},
    "progress": {"phase": "edit", "done": 120, "total": 750, "eta_s": 410.0},
    "film": None,
}
FORM_FIELDS = {
    "film": "A film: MP4, MOV, MKV, WebM, AVI or MPEG-TS.",
    "image": "A photo of a face.",
    "code": "A W+ code: an .npy, .npz or safetensors file, or JSON.",
    "latent_id": "Id of a stored code, from an earlier answer.",
    "gray": "The face to colour: a photo, a code, or a latent id as text.",
    "color": "The face whose colours it gets: a photo, a code, or a latent id as text.",
    "identity": "The photo of the person.",
    "attribute": "The photo whose pose, hair and light the person gets.",
    "photo": "The photo into which the face is put back.",
}
"""What each file or id in a form is."""
