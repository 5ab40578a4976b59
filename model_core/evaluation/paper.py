"""The figures that Guan et al. 2020 report, for comparison with ours."""

Cell = tuple[float, float, float]
"""PSNR in dB, SSIM, LPIPS."""

Row = tuple[str, str, Cell, Cell]
"""The paper's name of a method, our method, and the paper's figures on CelebA-HQ and CACD."""

TABLES: dict[str, tuple[str, list[Row]]] = {
    "1": (
        "embedding methods",
        [
            ("Image2StyleGAN", "image2stylegan", (29.72, 0.75, 0.18), (31.39, 0.80, 0.12)),
            ("StyleGAN-Encoder", "stylegan-encoder", (32.08, 0.85, 0.18), (33.10, 0.85, 0.11)),
            ("Image2StyleGAN++", "image2stylegan++", (32.46, 0.90, 0.22), (34.40, 0.90, 0.15)),
            ("Ours", "network", (31.47, 0.83, 0.16), (32.05, 0.83, 0.11)),
        ],
    ),
    "2": (
        "the iterator's upper bound by its start",
        [
            (
                "iterator started from the mean",
                "iterator",
                (31.43, 0.79, 0.13),
                (34.14, 0.84, 0.08),
            ),
            (
                "iterator started from H",
                "iterator-from-network",
                (33.01, 0.86, 0.10),
                (35.96, 0.92, 0.06),
            ),
        ],
    ),
    "3": (
        "the iterator's effect on the embedding network",
        [
            ("w/o iterator", "mse-lpips", (29.00, 0.71, 0.31), (29.36, 0.72, 0.30)),
            ("Ours", "collaborative", (31.47, 0.83, 0.16), (32.05, 0.83, 0.11)),
        ],
    ),
    "4": (
        "disentangled encoders",
        [
            (
                "Ours w/o disentangle learning",
                "single-resnet",
                (29.93, 0.77, 0.20),
                (30.30, 0.78, 0.17),
            ),
            ("Ours", "collaborative", (31.47, 0.83, 0.16), (32.05, 0.83, 0.11)),
        ],
    ),
}

CURVE_STEPS = (10, 20, 50, 100)
"""Step counts at which the starts are compared (figure 7)."""

STARTS = {
    "random": "iterator-from-random",
    "mean": "iterator",
    "ours": "iterator-from-network",
    "ours, with detail": "iterator+detail",
}
"""The paper's names of the iterator's starts, and our methods; the last is not in the paper."""

REMARK = (
    "The paper's figures are not directly comparable. 31.47 dB is an MSE of .0029 on [-1, 1], "
    "while independent W+ optimisation of photographs ends at about .024: the paper must have "
    "normalised, scaled or selected its images differently, and does not say how. Compare "
    "orderings, not numbers; its LPIPS is not ST-LPIPS either."
)

RUNTIME = (
    "The paper reports less than a second for its network and about seven minutes for "
    "Image2StyleGAN on a V100: a speed-up of 500."
)
