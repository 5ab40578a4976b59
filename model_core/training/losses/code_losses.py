"""Losses on codes, weighted by their effect on the generator's image."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_core.generators.contract import Generator
from model_core.training.data.pairs import Render, render_all


class StyleLoss(nn.Module):
    """Mean over rows r of |T_r (w_e - w)|^2, where T_r maps row r to the generator's styles.

    Each style is divided by its standard deviation over W, and rows are weighted by their influence
    on the image. Plain latent error hardly trains: most directions of W have no visible effect.

    Args:
        generator: Generator whose styles are compared.
        row_weights: Weight of each row; they sum to num_ws.
    """

    metric: Tensor
    row_weights: Tensor

    def __init__(self, generator: Generator, row_weights: Float[Tensor, " num_ws"]):
        super().__init__()
        with torch.no_grad():
            random = torch.Generator().manual_seed(0)
            z = torch.randn(4096, generator.w_dim, generator=random)
            w = generator.mapping(z)
            metrics = []
            for matrix in generator.style_matrices():  # (styles, w_dim), one per row of W+
                scaled = matrix / (w @ matrix.T).std(dim=0)[:, None]
                # |T delta|^2 / styles = delta' M delta: M (w_dim, w_dim) avoids computing styles.
                metrics.append(scaled.T @ scaled / len(scaled))
        self.register_buffer("metric", torch.stack(metrics))
        self.register_buffer("row_weights", row_weights)

    def forward(
        self, ws: Float[Tensor, "batch num_ws w_dim"], target: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, " batch"]:
        """Return the loss per item; about 2 for codes drawn independently from W."""
        delta = (ws - target).transpose(0, 1)  # (num_ws, batch, w_dim): bmm runs over rows
        error = (torch.bmm(delta, self.metric) * delta).sum(dim=2)  # (num_ws, batch)
        return (error * self.row_weights[:, None]).mean(dim=0)


class SensitivityLoss(nn.Module):
    """Mean of (g . (w_e - w))^2 over sampled gradients g: the image MSE to first order.

    Unlike StyleLoss, it accounts for changes of different rows that cancel out in the image.

    Args:
        gradients: From model_core.training.losses.sensitivity.
    """

    gradients: Tensor

    def __init__(self, gradients: Float[Tensor, "count num_ws w_dim"]):
        super().__init__()
        # (num_ws * w_dim, count): one matrix product gives g . delta for every g.
        self.register_buffer("gradients", gradients.flatten(1).T.contiguous())

    def forward(
        self, ws: Float[Tensor, "batch num_ws w_dim"], target: Float[Tensor, "batch num_ws w_dim"]
    ) -> Float[Tensor, " batch"]:
        """Return the expected MSE on [-1, 1] per item; large errors are overestimated."""
        return ((ws - target).flatten(1) @ self.gradients).square().mean(dim=1)


@torch.no_grad()
def measure_row_weights(
    generator: Generator, render: Render, samples: int, seed: int
) -> Float[Tensor, " num_ws"]:
    """Weight rows by influence: half uniform, half by the MSE that swapping the row causes.

    Args:
        generator: Generator whose rows are weighted.
        render: W+ codes -> uint8 images on the CPU, like the weights.
        samples: Number of codes whose rows are swapped; each costs num_ws + 1 images.
        seed: Seed of the sampled codes.
    """
    random = torch.Generator().manual_seed(seed)
    rows = generator.num_ws
    influence = torch.zeros(rows)
    for _ in range(samples):
        w = generator.mapping(torch.randn(2, generator.w_dim, generator=random))
        ws = w[0].repeat(rows + 1, rows, 1)  # the last copy stays unchanged
        ws[torch.arange(rows), torch.arange(rows)] = w[
            1
        ]  # copy r takes its row r from the other code
        img = render_all(render, ws).float()
        influence += (img[:rows] - img[-1]).square().mean(dim=(1, 2, 3))
    return 0.5 + 0.5 * rows * influence / influence.sum()
