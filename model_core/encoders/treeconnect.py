"""TreeConnect: two sparse maps instead of a dense one; every input still reaches every output.

Source: Richter and Wattenhofer 2018, "TreeConnect: A Sparse Alternative to Fully Connected Layers".
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from model_core.errors import InvalidInputError


class LocallyConnected(nn.Module):
    """Give each row of a (rows, columns) matrix its own dense map."""

    def __init__(self, rows: int, in_columns: int, out_columns: int):
        super().__init__()
        bound = in_columns**-0.5
        self.weight = nn.Parameter(torch.empty(rows, in_columns, out_columns))
        self.bias = nn.Parameter(torch.zeros(rows, 1, out_columns))
        # Uniform with variance 1 / inputs: sqrt(3) times its standard deviation either way.
        nn.init.uniform_(self.weight, -bound * 3**0.5, bound * 3**0.5)

    def forward(self, x: Float[Tensor, "batch rows inputs"]) -> Float[Tensor, "batch rows outputs"]:
        """Multiply row r of every item by matrix r and add its bias."""
        # (rows, batch, inputs) @ (rows, inputs, outputs): a row's items together, one matrix each.
        return (torch.bmm(x.transpose(0, 1), self.weight) + self.bias).transpose(0, 1)


class TreeConnect(nn.Module):
    """Regress a flat code from a feature map in O(n^1.5) weights instead of O(n^2).

    A 1x1 convolution reduces the features to rows*columns numbers; they are laid out as a matrix,
    as square as possible, mapped row by row, transposed, mapped row by row again and
    transposed back.
    """

    def __init__(self, in_channels: int, in_cells: int, rows: int, columns: int):
        super().__init__()
        if rows * columns % in_cells:
            raise InvalidInputError(
                f"in_cells must divide rows * columns, {rows * columns}, got {in_cells}"
            )
        self.rows, self.columns = rows, columns
        self.reduce = nn.Conv2d(in_channels, rows * columns // in_cells, 1)
        self.first = LocallyConnected(rows, columns, columns)
        self.second = LocallyConnected(columns, rows, rows)

    def forward(
        self, x: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch outputs"]:
        """Map features to rows*columns outputs."""
        # (batch, rows * columns / cells, grid, grid) -> (batch, rows, columns)
        matrices = self.reduce(x).reshape(len(x), self.rows, self.columns)
        matrices = F.leaky_relu(self.first(matrices), 0.2)
        # Row by row, then column by column: each output depends on every input.
        code: Tensor = self.second(matrices.transpose(1, 2)).transpose(1, 2)
        return code.flatten(1)
