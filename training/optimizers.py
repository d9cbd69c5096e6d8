"""Lookahead around Adam, the optimiser of PC-RNN, and the share of the learning rate that each layer gets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class LookaheadAdam(torch.optim.Adam):
    """Adam whose weights step back towards a slow copy every few updates.

    Every ``n_fast`` updates: slow ← slow + α (fast − slow), fast ← slow.

    Parameters
    ----------
    params
        As for Adam.
    n_fast
        Fast updates between two slow ones.
    slow_step
        α.

    References
    ----------
    Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, NeurIPS 2019; k = 5, α = 0.5.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        *,
        n_fast: int = 5,
        slow_step: float = 0.5,
    ) -> None:
        super().__init__(params, lr=lr)
        self.n_fast = n_fast
        self.slow_step = slow_step

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Do one fast update, and a slow one when it is due."""
        parameters = [one for group in self.param_groups for one in group["params"]]
        for parameter in parameters:
            # The slow copy lives in the state, so that checkpoints hold it and runs resume exactly.
            if "slow" not in self.state[parameter]:
                self._begin(parameter)
        result = super().step(closure)
        for parameter in parameters:
            state = self.state[parameter]
            state["n_fast_steps"] += 1
            if state["n_fast_steps"] % self.n_fast == 0:
                state["slow"].lerp_(parameter.detach(), self.slow_step)
                parameter.data.copy_(state["slow"])
        return result

    def _begin(self, parameter: torch.nn.Parameter) -> None:
        state = self.state[parameter]
        # Adam takes an empty state as "not started"; start it here, since ours makes it non-empty.
        state["step"] = torch.tensor(0.0)
        state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["slow"] = parameter.detach().clone(memory_format=torch.preserve_format)
        state["n_fast_steps"] = 0


def parameter_groups(model: nn.Module, fan_in_reference: float) -> list[dict[str, Any]]:
    """Return the parameters of a model in groups, each with its share of the learning rate, ``rate_share``.

    Parameters
    ----------
    model
        A network.
    fan_in_reference
        A convolution that sums more inputs than this gets the share reference / inputs; 0 gives every layer 1.

    A part of the model with an attribute ``rate_share`` gets that share of its layers' rates, unless all are 1.

    References
    ----------
    Yang et al., Tensor Programs V: Tuning large neural networks via zero-shot hyperparameter transfer, 2022: under
    Adam, the rate of a hidden layer falls as 1 / fan-in.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    shares: dict[str, float] = {}
    for name, layer in model.named_modules():
        # Parents come before their children.
        shares[name] = shares.get(name.rpartition(".")[0], 1.0) * float(getattr(layer, "rate_share", 1.0))
        share = shares[name] if fan_in_reference else 1.0
        if fan_in_reference and isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            share *= min(1.0, fan_in_reference / _fan_in(layer))
        for parameter in layer.parameters(recurse=False):
            groups.setdefault(share, []).append(parameter)
    return [{"params": parameters, "rate_share": share} for share, parameters in groups.items()]


def _fan_in(layer: nn.Conv2d | nn.ConvTranspose2d) -> float:
    """Return how many products one output value sums."""
    kernel, stride = math.prod(layer.kernel_size), math.prod(layer.stride)
    channels = layer.in_channels // layer.groups
    return channels * kernel / (stride if isinstance(layer, nn.ConvTranspose2d) else 1)
