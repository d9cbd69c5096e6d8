"""Recipe: what the next reconstruction does, as the user shapes it, and what stands in its way."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from recon.errors import MRIError, RequestError
from recon.masks import MaskSpec
from recon.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from recon.data import Series
    from recon.masks import SamplingMask
    from recon.models.parameters import Parameter

_MASK_FIELDS = {item.name for item in fields(MaskSpec)}
_REQUEST_FIELDS = {item.name for item in fields(Request)}


class Recipe(QObject):
    """The request, the models that it can name, and the parameters of the one that it names.

    Parameters
    ----------
    request
        What to start with.
    engine
        What lists models and judges requests.
    file
        Queues work for a thread: key, work, what takes the result, what was going on.

    Signals
    -------
    changed
        Another request, or another reason why there is none.
    models_changed
        The models were listed.
    parameters_changed
        The parameters of the model arrived, or it is another model.
    """

    changed = Signal()
    models_changed = Signal()
    parameters_changed = Signal()

    def __init__(
        self,
        request: Request,
        engine: Any,
        file: Callable[[str, Callable[[], Any], Callable[[Any], None], str], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._engine = engine
        self._file = file
        self._series: Series | None = None
        self._mask: SamplingMask | None = None
        self.request = request
        self.is_coil_by_coil = False
        """Whether the model takes the coils of the series one by one, so that they can be joined."""
        self.size_note = ""
        """In what the weights that will run differ from the network of their card; empty where they do not."""
        self.memory_note = ""
        """What memory the model needs for a slice, where that is much; empty until it is known."""
        self._noted: tuple[Any, ...] = ()
        self.problem = ""
        self.is_refused = False
        """Whether the last change was refused, so that the request is not what the user asked for."""
        self.refused_parameter = ""
        """Name of the parameter whose value was refused."""
        self.models: list[Any] = []
        self._weights: dict[str, tuple[Any, ...]] = {}
        self._parameters: dict[str, tuple[Parameter, ...]] = {}
        # What was set for a method is there again when the user comes back to it.
        self._overrides: dict[str, dict[str, Any]] = {}

    # ---------------------------------------------------------------- models

    @property
    def card(self) -> Any | None:
        """Card of the model that the request names; None until models are listed, and for weights that are not."""
        return self.find(self.request.model)

    def find(self, name: str) -> Any | None:
        """Return the card of a preset, an alias or the path of listed weights, or None."""
        if name.endswith(".safetensors"):
            listed = self._weights.items()
            name = next((preset for preset, found in listed if any(str(one.path) == name for one in found)), name)
        return self._engine.find_model(self.models, name)

    @property
    def weights(self) -> tuple[Any, ...]:
        """Weights of the model, as they were listed, the preferred ones first."""
        card = self.card
        return () if card is None else self._weights.get(card.name, ())

    def model_problem(self, card: Any) -> str:
        """Return why a model cannot be used with the current series, or an empty string."""
        problem: str = self._engine.model_problem(card, self._series, self.request)
        return problem

    def take_models(self, models: list[Any]) -> None:
        """Note which models there are."""
        self.models = models
        # Asked for again and again; each question to a card looks into the folders.
        self._weights = {card.name: tuple(card.weights) for card in models}
        self._judge()
        self.models_changed.emit()
        self._want_parameters()

    def meet(self, series: Series | None) -> None:
        """Judge the request for another series."""
        self._series, self._mask = series, None
        self._judge()

    def take_mask(self, mask: SamplingMask | None) -> None:
        """Judge the request by the samples that there will be; whoever shows them shows the problem too."""
        self._mask = mask
        if not self.is_refused:
            self._judge()

    # ---------------------------------------------------------------- request

    def set(self, request: Request | None = None, **changes: Any) -> bool:
        """Change the request.

        Parameters
        ----------
        request
            A whole request, or None to change the current one.
        changes
            Fields of Request or of its MaskSpec.

        Returns
        -------
        accepted
            False when the values are impossible; `problem` says why and the last valid request stays.
        """
        base = self.request if request is None else request
        try:
            unknown = sorted(set(changes) - _MASK_FIELDS - _REQUEST_FIELDS)
            if unknown:
                raise RequestError(f"a request has no field {unknown[0]!r}.")
            mask_changes = {name: value for name, value in changes.items() if name in _MASK_FIELDS}
            if mask_changes:
                base = replace(base, mask=replace(base.mask, **mask_changes))
            base = replace(base, **{name: value for name, value in changes.items() if name in _REQUEST_FIELDS})
        except MRIError as error:
            self.refuse(str(error))
            return False
        if (base.mask, base.grid) != (self.request.mask, self.request.grid):
            self._mask = None  # of the old request; the new one is being drawn
        is_other_model = base.model != self.request.model
        if is_other_model and request is None and "overrides" not in changes:
            base = replace(base, overrides=self._overrides.get(base.model, {}))
        self._overrides[base.model] = dict(base.overrides)
        self.request, self.is_refused, self.refused_parameter = base, False, ""
        self._judge()
        self.changed.emit()
        if is_other_model:
            self.parameters_changed.emit()
            self._want_parameters()
        return True

    def refuse(self, problem: str, parameter: str = "") -> None:
        """Note that what the user typed is no request; the last valid one stays."""
        self.problem, self.is_refused, self.refused_parameter = problem, True, parameter
        self.changed.emit()

    def _judge(self) -> None:
        card = self.card
        self.problem = "" if card is None or self._series is None else self.model_problem(card)
        self.is_coil_by_coil = (
            card is not None
            and self._series is not None
            and not self.problem
            and self._engine.is_coil_by_coil(card, self._series, self.request)
        )
        if not self.problem and card is not None and self._mask is not None:
            self.problem = self._engine.model_problem(card, self._series, self.request, self._mask)
        if not self.problem and self.parameters and self.request.overrides:
            try:
                self._engine.check_parameters(card, self.request.overrides)
            except MRIError as error:
                self.problem = str(error)

        self._take_notes()

    def _take_notes(self) -> None:
        """Find what is good to know before the start; a worker asks for memory, which needs torch."""
        card, series, request = self.card, self._series, self.request
        if card is None or series is None or self.problem:
            self.size_note, self.memory_note, self._noted = "", "", ()
            return
        self.size_note = self._engine.size_note(card, series, request)
        asked = (
            card, series, request.model, request.coils, request.grid, request.device, request.precision,
            dict(request.overrides), request.join_coils,
        )  # fmt: skip
        if asked == self._noted:
            return
        self._noted, self.memory_note = asked, ""
        self._file(
            "memory",
            partial(self._engine.memory_note, card, series, request),
            partial(self._take_memory_note, asked),
            f"estimating the memory of {card.title}",
        )

    def _take_memory_note(self, asked: tuple[Any, ...], note: str) -> None:
        if asked == self._noted and note != self.memory_note:
            self.memory_note = note
            self.changed.emit()

    # ---------------------------------------------------------------- parameters

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What can be set of the model; empty for networks with weights, and until the family is imported."""
        card = self.card
        return () if card is None else self._parameters.get(card.name, ())

    def set_parameter(self, name: str, text: str) -> bool:
        """Set a parameter of the model from what the user typed.

        Parameters
        ----------
        name
            One of `parameters`.
        text
            Its value; that of the preset takes the override away.

        Returns
        -------
        accepted
            False when it means nothing or the method refuses it; `problem` and `refused_parameter` say so.
        """
        parameter = next((item for item in self.parameters if item.name == name), None)
        try:
            if parameter is None:
                raise RequestError(f"{self.request.model} has no parameter {name!r} that can be set.")
            overrides = {**self.request.overrides, name: parameter.read(text)}
            if overrides[name] == parameter.value:
                del overrides[name]
            self._engine.check_parameters(self.card, overrides)
        except MRIError as error:
            self.refuse(str(error), name)
            return False
        return self.set(overrides=overrides)

    def reset_parameters(self) -> None:
        """Go back to the values of the preset."""
        self.set(overrides={})

    def _want_parameters(self) -> None:
        card = self.card
        # The parameters of a network are those of its weights.
        if card is None or card.needs_training or not card.available or card.name in self._parameters:
            return
        name = card.name
        self._file(
            f"parameters {name}",
            partial(self._engine.parameters_of, card),
            partial(self._take_parameters, name),
            f"reading the parameters of {card.title}",
        )

    def _take_parameters(self, name: str, parameters: tuple[Parameter, ...]) -> None:
        self._parameters[name] = parameters
        if self.card is not None and self.card.name == name:
            self._judge()
            self.parameters_changed.emit()
            self.changed.emit()
