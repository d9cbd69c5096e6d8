"""Fields of experts: filters, a learned activation of each response, and the same filters transposed, in one pass.

    R(u) = Σᵢ kᵢᵀ φᵢ(kᵢ ∗ u),   φᵢ(z) = Σⱼ wᵢⱼ exp(−(z − μⱼ)² / 2σ²)

Hundreds of 11×11 filters on the two channels of one image are what convolution libraries do worst, and the responses
would fill hundreds of megabytes. Here a few image rows at a time become columns of a matrix: both filter steps are
matrix products, and responses never leave the cache. The backward pass computes them again, so nothing but the image is
stored.

The activations are read from tables, linearly interpolated: the sum of Gaussians would cost thirty exponentials a
response. So are their derivatives, from tables of their own; the gradient of the weights is the exact adjoint of the
interpolation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon.shapes import Float

# Beyond the outermost centres the Gaussians fade; six standard deviations out, they are zero in float32.
_N_DEVIATIONS = 6.0
# Interpolation is off by (step / σ)² / 8 of a weight: 2·10⁻⁴.
N_NODES = 1024
# Responses per filter that are worked on at a time: few enough for the cache of a CPU, many enough to fill a GPU.
_N_COLUMNS_CPU, _N_COLUMNS_GPU = 2**11, 2**14


class Tables(NamedTuple):
    """Activations at equally spaced nodes.

    Attributes
    ----------
    values, derivatives
        ``(filter, node)``.
    limit
        The nodes go from −limit to limit.
    """

    values: Tensor
    derivatives: Tensor
    limit: float


def tabulate(weights: Float[Tensor, "filter function"]) -> Tables:
    """Return the activations of all filters and their derivatives; the values can be differentiated.

    The centres lie at equal distances from −1 to 1, σ is their distance.
    """
    weights = weights if weights.dtype == torch.float64 else weights.float()
    n_functions = weights.shape[1]
    deviation = 2 / (n_functions - 1)
    limit = 1 + _N_DEVIATIONS * deviation
    options: dict[str, Any] = {"dtype": weights.dtype, "device": weights.device}
    distance = (
        torch.linspace(-limit, limit, N_NODES, **options) - torch.linspace(-1, 1, n_functions, **options)[:, None]
    )
    gaussians = torch.exp(-0.5 * (distance / deviation).square())
    slopes = gaussians * (-distance / deviation**2)
    with torch.autocast(weights.device.type, enabled=False):
        return Tables(weights @ gaussians, weights.detach() @ slopes, limit)


def fields_of_experts(
    image: Float[Tensor, "batch channel y x"],
    kernels: Float[Tensor, "filter channel side side"],
    tables: Tables,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "batch channel y2 x2"]:
    """Return R(u) of an image that brings a border for the filters.

    Parameters
    ----------
    image
        The image with ``side − 1`` more pixels on each side than the result has.
    kernels
        Filters, applied as cross-correlations.
    tables
        Their activations.
    dtype
        Type of the matrix products; None is that of the image.
    """
    flat = kernels.reshape(kernels.shape[0], -1)
    with torch.autocast(image.device.type, enabled=False):
        result: Tensor = _FieldsOfExperts.apply(  # type: ignore[no-untyped-call]
            image, flat, tables.values, tables.derivatives, tables.limit, kernels.shape[-1], dtype or image.dtype
        )
    return result


class _FieldsOfExperts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        kernels: Tensor,
        values: Tensor,
        derivatives: Tensor,
        limit: float,
        side: int,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.save_for_backward(image, kernels, values, derivatives)
        ctx.limit, ctx.side, ctx.dtype = limit, side, dtype
        filters = kernels.to(dtype)
        lookup = _Lookup(values, limit)
        result = torch.zeros_like(image, memory_format=torch.contiguous_format)
        for windows, target in _tiles(image.to(dtype), result, side):
            responses = filters @ _columns(windows)
            _add_folded(target, filters.mT @ lookup.read(*lookup.locate(responses)).to(dtype), side)
        border = side - 1
        return result[..., border:-border, border:-border].contiguous() if border else result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, kernels, values, derivatives = ctx.saved_tensors
        side, dtype = ctx.side, ctx.dtype
        filters = kernels.to(dtype)
        activation, slope = _Lookup(values, ctx.limit), _Lookup(derivatives, ctx.limit)
        border = side - 1
        gradient = F.pad(gradient, (border, border, border, border)).to(dtype)
        image_gradient = torch.zeros_like(image, memory_format=torch.contiguous_format)
        kernel_gradient = torch.zeros_like(kernels, dtype=values.dtype)
        value_gradient = torch.zeros_like(values)
        tiles = zip(_tiles(image.to(dtype), image_gradient, side), _tiles(gradient, gradient, side), strict=True)
        for (windows, target), (gradient_windows, _) in tiles:
            columns, gradient_columns = _columns(windows), _columns(gradient_windows)
            cells, fractions = activation.locate(filters @ columns)
            activated = activation.read(cells, fractions).to(dtype)
            by_activated = (filters @ gradient_columns).to(values.dtype)
            activation.add_adjoint(value_gradient, cells, fractions, by_activated)
            by_response = slope.read(cells, fractions).mul_(by_activated).to(dtype)
            kernel_gradient += activated @ gradient_columns.mT
            kernel_gradient += by_response @ columns.mT
            _add_folded(target, filters.mT @ by_response, side)
        return image_gradient, kernel_gradient.to(kernels.dtype), value_gradient, None, None, None, None


class _Lookup:
    """Functions of one number each, tabulated from −limit to limit and interpolated between the nodes."""

    def __init__(self, table: Tensor, limit: float) -> None:
        # The last node has no step: beyond the limit a function stays what it is there, which is zero. Node and step
        # are one complex number, so that one look finds both.
        self._nodes = torch.complex(table, F.pad(table.diff(dim=1), (0, 1))).flatten()
        self._n_nodes = table.shape[1]
        self._limit = limit
        self._dtype = table.dtype
        self._rows = torch.arange(len(table), device=table.device, dtype=torch.int32)[:, None] * self._n_nodes

    def locate(self, arguments: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cell of the flattened table that holds each argument, and where in the cell it is."""
        scale = (self._n_nodes - 1) / (2 * self._limit)
        position = (arguments.to(self._dtype) * scale).add_(self._limit * scale).clamp_(0, self._n_nodes - 1)
        # A diverging training ends with its own message, not with an index out of range.
        cells = position.nan_to_num_(0.0).to(torch.int32)
        return cells.add_(self._rows), position.frac_()

    def read(self, cells: Tensor, fractions: Tensor) -> Tensor:
        """Return the interpolated functions."""
        nodes = self._nodes.index_select(0, cells.flatten()).view_as(cells)
        return torch.addcmul(nodes.real, nodes.imag, fractions)

    def add_adjoint(self, target: Tensor, cells: Tensor, fractions: Tensor, weights: Tensor) -> None:
        """Add the adjoint of the interpolation: each weight to the two nodes around its argument."""
        local = (cells - self._rows).to(torch.int64)
        share = weights * fractions
        target.scatter_add_(1, local, weights - share)
        target.scatter_add_(1, local.add_(1).clamp_(max=self._n_nodes - 1), share)


def _tiles(image: Tensor, target: Tensor, side: int) -> list[tuple[Tensor, Tensor]]:
    """Cut images into bands of rows: views of all windows of a band, and of the rows of the target that they cover."""
    n_columns = image.shape[-1] - side + 1
    n_rows = image.shape[-2] - side + 1
    at_once = _N_COLUMNS_CPU if image.device.type == "cpu" else _N_COLUMNS_GPU
    n_band = max(1, at_once // n_columns)
    tiles = []
    for one, one_target in zip(image, target, strict=True):
        windows = one.unfold(1, side, 1).unfold(2, side, 1)
        for first in range(0, n_rows, n_band):
            band = windows[:, first : first + n_band]
            tiles.append((band, one_target[:, first : first + band.shape[1] + side - 1]))
    return tiles


def _columns(windows: Tensor) -> Tensor:
    """Lay the windows ``(channel, y, x, side, side)`` out as columns of a matrix."""
    return windows.permute(0, 3, 4, 1, 2).reshape(windows.shape[0] * windows.shape[3] ** 2, -1)


def _add_folded(target: Tensor, columns: Tensor, side: int) -> None:
    """Undo `_columns`, adding where windows overlap, and add the result to the target."""
    folded = F.fold(columns.to(target.dtype)[None], (target.shape[-2], target.shape[-1]), side)
    target += folded[0]
