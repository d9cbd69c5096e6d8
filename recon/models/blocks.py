"""What networks share: the border between complex images and real channels, and the interface of a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recon import interruption
from recon.contract import check_input
from recon.errors import ModelError
from recon.fourier import centre_crop, pad_to_multiple
from recon.operator import HardDataConsistency
from recon.shapes import Bool, Complex, Float, Shaped

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from typing import Self

    from recon.stage import Stage

Consistency = Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]]
"""Makes, of k-space and mask, what puts the measured samples into an image."""

# Copies of all coil images that the data itself takes: k-space, zero-filled, transforms under way, the stage.
_COIL_IMAGES = 8
# Batch entries, such as the coils that a single-coil network takes one by one, that are computed together.
N_AT_ONCE = 4
# What the libraries take for themselves, whatever the size of the image.
_OVERHEAD_BYTES = 50_000_000


def to_channels(image: Complex[Tensor, "batch coil y x"]) -> Float[Tensor, "batch channel y x"]:
    """Lay coil images out as real channels: all real parts, then all imaginary parts."""
    return torch.cat([image.real, image.imag], dim=1)


def to_complex(channels: Float[Tensor, "batch channel y x"]) -> Complex[Tensor, "batch coil y x"]:
    """Undo `to_channels`; half-precision channels become complex64."""
    real, imaginary = channels.float().chunk(2, dim=1)
    return torch.complex(real.contiguous(), imaginary.contiguous())


class ReconstructionModel(nn.Module):
    """A method that turns undersampled k-space into coil images, yielding its intermediate images on the way.

    A subclass writes `stages`; `forward` only exhausts it, so there is no second code path.
    """

    n_coils: int
    # Parameters that `meet_scan` chose, and where their values are from; for the record of a reconstruction.
    origins: Mapping[str, str] = MappingProxyType({})
    # What `stages` found that whoever looks at its images must know, in sentences, and versions of the programs that it
    # ran, by name; for the record as well.
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = MappingProxyType({})
    # Entries of a batch that `stages` computes together outside training, while the others wait; None for all.
    n_at_once: int | None = None
    # Makes the hard data consistency of a method; None for each batch entry by itself. See `with_consistency`.
    _make_consistency: Consistency | None = None

    @abstractmethod
    def stages(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,
    ) -> Generator[Stage, None, None]:
        """Yield a `Stage` for each intermediate image; the last one has ``is_final``.

        Neither sets nor expects a grad or inference mode: who consumes the stream does.
        """

    def forward(
        self,
        zero_filled: Complex[Tensor, "batch coil y x"],
        kspace: Complex[Tensor, "batch coil y x"],
        mask: Bool[Tensor, "*mask"],
        maps: Complex[Tensor, "batch coil y x"] | None = None,
    ) -> Complex[Tensor, "batch coil_or_one y x"]:
        """Return the final coil images, or the one image of a method with sensitivity maps.

        Raises
        ------
        ModelError
            If the tensors are not of the types above, or do not fit each other.
        """
        check_input(zero_filled, kspace, mask, maps)
        image: Tensor = zero_filled
        for stage in self.stages(zero_filled, kspace, mask, maps):
            image = stage.image
        return image

    def hard_consistency(
        self, kspace: Complex[Tensor, "batch coil y x"], mask: Bool[Tensor, "*mask"]
    ) -> Callable[[Tensor], Tensor]:
        """Return what puts the measured samples into an image: for this batch entry alone, or as the pipeline wants."""
        return (self._make_consistency or HardDataConsistency)(kspace, mask)

    def with_consistency(self, make: Consistency) -> Self:
        """Return a model with the same weights whose hard data consistency is made by another function."""
        other = copy(self)
        other._make_consistency = make
        return other

    def meet_scan(self, acquisition: str | None, n_coils: int, acceleration: float) -> None:
        """Choose what depends on the scan and was left to the method; the pipeline calls it for untrained methods.

        What is chosen is put into ``parameters_``, and where it is from into ``origins``, so that it is recorded.

        Parameters
        ----------
        acquisition
            fastMRI's name of the contrast, such as ``CORPD_FBK``; None where the scan has none.
        n_coils
            Coils that took the scan.
        acceleration
            How many times fewer samples were taken.
        """

    def start_training(self) -> None:
        """Bring fresh parameters to where a training should begin; training calls it before its first step."""

    def constrain(self) -> None:
        """Bring the parameters back to where the method allows them; training calls it after every step."""

    @property
    def n_stages(self) -> int:
        """How many stages a slice yields, for progress."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights; activations are brought to it at the border."""
        return next(self.parameters()).dtype

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def values_per_pixel(self) -> float:
        """Activations that are alive at the peak of inference, as values per pixel of one batch entry; an estimate.

        Here: three maps of the widest convolution on the image's own grid. Methods on other grids say their own.
        """
        widths = [module.out_channels for module in self.modules() if isinstance(module, nn.Conv2d)]
        return 3.0 * max(widths, default=0)

    @property
    def state_per_pixel(self) -> float:
        """Values per pixel of one batch entry that `stages` keeps between two stages; an estimate.

        Here none: the output of one stage is the input of the next.
        """
        return 0.0

    @property
    def lighter_setting(self) -> str:
        """What to choose instead where memory is short, as a half sentence; empty where there is nothing lighter."""
        return ""

    def peak_memory_bytes(self, shape: tuple[int, int, int, int], *, joins_coils: bool = False) -> int:
        """Estimate what the inference of coil images of this shape needs, beside the weights.

        Parameters
        ----------
        shape
            ``(batch, coil, y, x)``.
        joins_coils
            The batch entries are coils that are joined, see `recon.joining`.
        """
        batch, n_coils, rows, columns = shape
        n_at_once = min(batch, self.n_at_once or batch)
        # Maps, their mixes and conjugates, and images under way are as many again.
        images = batch * _COIL_IMAGES * (2 if joins_coils else 1) * n_coils * torch.complex64.itemsize
        values = n_at_once * self.values_per_pixel + (batch - n_at_once) * self.state_per_pixel
        return _OVERHEAD_BYTES + int(rows * columns * (images + values * self._bytes_per_value))

    @property
    def _bytes_per_value(self) -> int:
        return next((parameter.dtype.itemsize for parameter in self.parameters()), 4)


def silence(block: nn.Module) -> None:
    """Set the last convolution of a block to zero, so that the block begins with no output."""
    last = [layer for layer in block.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))][-1]
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


class ResidualConvolutions(nn.Module):
    """Residual convolutions (ResConv): each adds conv3 · ReLU · conv3 of its input."""

    def __init__(self, width: int, n_residual: int = 2) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, padding=1)
            )
            for _ in range(n_residual)
        )

    def forward(self, hidden: Float[Tensor, "batch width y x"]) -> Float[Tensor, "batch width y x"]:
        for branch in self.branches:
            # Into the convolution's output, which nothing else reads: a new map of a fine grid costs more than the sum.
            hidden = branch(hidden).add_(hidden)
        return hidden

    def of_zeros(self, like: Float[Tensor, "batch width y x"]) -> Float[Tensor, "one width y x"]:
        """Return what the block makes of a map of zeros, of the size of another map, for a batch of one.

        The biases make it constant but for a border as wide as there are convolutions, so the block only runs on the
        least map that has all of it, and the constant is spread.
        """
        border = 2 * len(self.branches)
        side = 2 * border + 1
        if min(like.shape[-2:]) <= side:
            return self.forward(torch.zeros_like(like[:1]))
        zeros = like.new_zeros(1, like.shape[1], side, side).contiguous(memory_format=torch.channels_last)
        pixels = self.forward(zeros).permute(0, 2, 3, 1)
        for axis, size in zip((1, 2), like.shape[-2:], strict=True):
            before, constant, after = torch.split(pixels, [border, 1, border], dim=axis)
            shape = list(constant.shape)
            shape[axis] = size - 2 * border
            pixels = torch.cat([before, constant.expand(shape), after], dim=axis)
        return pixels.permute(0, 3, 1, 2)


class Refine(nn.Module):
    """The final CNN (PC-RNN's f, OUCR's RM): four convolutions on the concatenated module outputs."""

    def __init__(self, n_input: int, width: int, n_output: int, *, last_activation: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_input, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True) if last_activation else nn.Identity(),
            nn.Conv2d(width, n_output, 3, padding=1),
        )

    def forward(self, channels: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch out y x"]:
        result: Tensor = self.layers(channels)
        return result


class KeepsFloat32(nn.Module):
    """A module whose own parameters and buffers stay float32 when the network is converted to half precision.

    Statistics and step sizes are few and cost no time, but eight bits of mantissa would show.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def keep(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return tensor.to(moved.device) if moved.dtype in (torch.bfloat16, torch.float16) else moved

        super()._apply(keep, recurse)  # type: ignore[no-untyped-call]
        return self


class Scalar(KeepsFloat32):
    """A trained number, such as the step size of a cascade.

    Parameters
    ----------
    initial
        Where it begins.
    """

    def __init__(self, initial: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.full((1,), initial))

    def forward(self) -> Float[Tensor, 1]:
        return self.value


class BatchNorm(KeepsFloat32):
    """Batch normalisation with trained scale and shift, which inference folds into the convolution before it.

    Parameters
    ----------
    width
        Channels.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        # No count of batches: weights are published in half precision, which cannot count that far.
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.momentum, self.epsilon = momentum, epsilon

    def forward(self, channels: Float[Tensor, "batch width y x"]) -> Float[Tensor, "batch width y x"]:
        return F.batch_norm(
            channels,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.epsilon,
        )

    def fold(self, convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the convolution that does both in inference."""
        scale = self.weight * torch.rsqrt(self.running_var + self.epsilon)
        bias = self.bias - scale * self.running_mean
        if convolution.bias is not None:
            bias = bias + scale * convolution.bias
        weight = convolution.weight * scale[:, None, None, None]
        dtype = convolution.weight.dtype
        return weight.to(dtype), bias.to(dtype)


def max_pool(channels: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel half_y half_x"]:
    """Return the largest value of every two by two pixels.

    torch's own pooling also keeps where they were, for the gradient: eight bytes for each, and in channels-last layout
    on a processor up to five times the time of the values alone.
    """
    is_plain = channels.device.type == "cpu" and not channels.is_contiguous(memory_format=torch.channels_last)
    if channels.requires_grad or is_plain:
        return F.max_pool2d(channels, 2)
    pixels = channels.permute(0, 2, 3, 1)
    n_rows, n_columns = (size - size % 2 for size in channels.shape[-2:])
    rows = torch.maximum(pixels[:, :n_rows:2], pixels[:, 1:n_rows:2])
    return torch.maximum(rows[:, :, :n_columns:2], rows[:, :, 1:n_columns:2]).permute(0, 3, 1, 2)


class MaxPool(nn.Module):
    """`max_pool` as a layer."""

    def forward(self, channels: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel half_y half_x"]:
        return max_pool(channels)


def apply_padded(
    network: Callable[[Tensor], Tensor], channels: Float[Tensor, "batch channel y x"], multiple: int, dtype: torch.dtype
) -> Float[Tensor, "batch out y x"]:
    """Run a network on a grid that its strides divide, in its own precision, and return to the grid of the image.

    channels_last is what makes bfloat16 pay on CPUs.
    """
    outputs = []
    for some in in_turns(channels, network):
        padded = pad_to_multiple(some, multiple).to(dtype=dtype, memory_format=torch.channels_last)
        outputs.append(centre_crop(network(padded), (channels.shape[-2], channels.shape[-1])))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def in_turns(batch: Shaped[Tensor, "batch ..."], network: Callable[..., Any]) -> Iterator[Tensor]:
    """Yield the entries of a batch in the groups that are computed together: few at a time, in training all.

    What a network needs while it runs is then needed for few entries only; the result is the same to rounding. Between
    two groups the work can be interrupted.

    Parameters
    ----------
    batch
        The entries.
    network
        What they go through: a module, or a method of one.
    """
    for some in (batch,) if is_training(network) else torch.split(batch, N_AT_ONCE):
        interruption.check()
        yield some


def is_training(network: Callable[..., Any]) -> bool:
    """Return whether gradients of a network's parameters are recorded."""
    module = getattr(network, "__self__", network)
    parameters = module.parameters() if isinstance(module, nn.Module) else ()
    return torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters)


def check_coils(model: ReconstructionModel, image: Tensor) -> None:
    """Refuse data of another number of coils than the network's.

    Raises
    ------
    ModelError
        If they differ.
    """
    if image.shape[1] != model.n_coils:
        raise ModelError(
            f"the network was made for {model.n_coils} coil(s) and was given {image.shape[1]}; "
            "compress the data to the network's coils."
        )


def check_maps(maps: Tensor | None, title: str) -> Tensor:
    """Return the sensitivity maps; refuse to go on without them.

    Raises
    ------
    ModelError
        If there are none.
    """
    if maps is None:
        raise ModelError(
            f"{title} combines the coils with their sensitivity maps and was given none; pass maps, complex "
            "(batch, coil, y, x), as recon.coils.sensitivity_maps estimates them."
        )
    return maps


def convolution_chain(
    n_input: int, width: int, n_output: int, n_layers: int, activation: Callable[[], nn.Module], *, last_kernel: int = 3
) -> nn.Sequential:
    """Return a plain CNN: 3×3 convolutions with an activation after each but the last.

    Parameters
    ----------
    n_input, width, n_output
        Channels in, between and out.
    n_layers
        Convolutions.
    activation
        Makes the activation.
    last_kernel
        Side of the last convolution's kernel.
    """
    layers: list[nn.Module] = []
    for index in range(n_layers - 1):
        layers += [nn.Conv2d(width if index else n_input, width, 3, padding=1), activation()]
    last = nn.Conv2d(width if n_layers > 1 else n_input, n_output, last_kernel, padding=last_kernel // 2)
    return nn.Sequential(*layers, last)


def pass_on(layers: Sequence[nn.Conv2d], slope: float) -> None:
    """Let convolutions with a LeakyReLU after each but the last begin as the identity, where they are wide enough.

    Two channels carry each input, x and −x: leaky(x) − leaky(−x) = (1 + slope) x. The other channels stay as they are
    drawn, and the last convolution does not hear them at first.

    Parameters
    ----------
    layers
        As many channels out as in. Where a layer reads more than the one before it makes, that comes last. Layers
        narrower than twice as many are left alone, all of them.
    slope
        Of the LeakyReLUs.
    """
    n_carried = layers[0].in_channels
    if any(layer.out_channels < 2 * n_carried for layer in layers[:-1]):
        return
    identity = torch.eye(n_carried)
    both = torch.cat([identity, -identity])
    n_before = n_carried
    with torch.no_grad():
        for layer in layers:
            rows = n_carried if layer is layers[-1] else 2 * n_carried
            signs = identity if layer is layers[-1] else both
            if layer is not layers[0]:
                signs = torch.cat([signs, -signs], dim=1) / (1 + slope)
            middle = layer.kernel_size[0] // 2
            first = layer.in_channels - n_before
            layer.weight[:rows].zero_()
            layer.weight[:rows, first : first + signs.shape[1], middle, middle] = signs
            if layer.bias is not None:
                layer.bias[:rows].zero_()
            n_before = layer.out_channels


def recompute(function: Callable[..., Tensor], *tensors: Tensor, enabled: bool) -> Tensor:
    """Call a part of a network; where enabled, the backward pass computes it again instead of storing it."""
    if enabled and torch.is_grad_enabled():
        result: Tensor = checkpoint(function, *tensors, use_reentrant=False)
        return result
    return function(*tensors)
