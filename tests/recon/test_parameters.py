"""What a form and a command line know of a method's parameters, and what they make of a text."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

import pytest

from recon import models
from recon.errors import ModelError
from recon.models import parameters
from recon.models.card import ModelCard


@dataclass(frozen=True)
class SolverParameters:
    """A solver.

    Attributes
    ----------
    n_iterations
        Steps at most,
        unless it converges.
    lambda_, tolerance
        Positive.
    prior : str
        What is sparse.
    rank
        Of the model; None lets it choose.
    """

    n_iterations: int = 20
    lambda_: float = 0.01
    tolerance: float = 1e-5
    prior: Literal["tv", "wavelet"] = "tv"
    is_isotropic: bool = True
    levels: tuple[int, ...] = (2, 4)
    rank: int | None = None
    shown: "Unimportable" = "x"  # noqa: F821  what a type checker alone would import

    def __post_init__(self):
        problems = []
        if self.n_iterations < 1:
            problems.append(f"n_iterations is {self.n_iterations}, at least 1 is needed")
        if not self.lambda_ > 0:
            problems.append(f"lambda_ is {self.lambda_}, it must be above 0")
        if problems:
            raise ModelError(f"the solver is wrong: {'; '.join(problems)}.")


@dataclass(frozen=True)
class PlainParameters:
    """Types that can be resolved."""

    n_iterations: int = 20
    weight: float | None = None
    prior: Literal["tv", "wavelet"] = "tv"
    is_isotropic: bool = True
    levels: tuple[int, ...] = (2, 4)


class Solver:
    """What the parameters are for."""


class Plain:
    """What the parameters are for."""


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setitem(sys.modules, "solver_of_a_test", SimpleNamespace(
        Solver=Solver, SolverParameters=SolverParameters, Plain=Plain, PlainParameters=PlainParameters,
    ))  # fmt: skip
    return ModelCard(
        "solver", "Solver", "solver_of_a_test:Solver", "Classical", "", "", {"n_iterations": 50}, needs_training=False
    )


@pytest.fixture
def plain(card):
    return ModelCard("plain", "Plain", "solver_of_a_test:Plain", "Classical", "", "", needs_training=False)


def by_name(card):
    return {item.name: item for item in parameters.parameters_of(card)}


def test_a_parameter_knows_its_preset_and_what_its_docstring_says(card):
    found = by_name(card)
    assert found["n_iterations"].value == 50
    assert found["lambda_"].value == 0.01
    assert found["n_iterations"].help == "Steps at most, unless it converges."
    assert found["lambda_"].help == found["tolerance"].help == "Positive."
    assert [found[name].title for name in ("n_iterations", "lambda_", "is_isotropic")] == [
        "Iterations",
        "λ",
        "Isotropic",
    ]


def test_types_say_what_kind_of_field_it_is(plain):
    kinds = {item.name: (item.kind, item.choices, item.is_optional) for item in parameters.parameters_of(plain)}
    assert kinds == {
        "n_iterations": ("whole", (), False),
        "weight": ("number", (), True),
        "prior": ("choice", ("tv", "wavelet"), False),
        "is_isotropic": ("switch", (), False),
        "levels": ("list", ("whole",), False),
    }


def test_types_that_cannot_be_resolved_are_read_off_the_defaults(card):
    assert [by_name(card)[name].kind for name in ("n_iterations", "lambda_", "is_isotropic", "shown")] == [
        "whole", "number", "switch", "text",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n_iterations", " 7 ", 7),
        ("weight", "1e-3", 1e-3),
        ("weight", "0,5", 0.5),
        ("weight", "", None),
        ("prior", "wavelet", "wavelet"),
        ("is_isotropic", "Off", False),
        ("is_isotropic", "true", True),
        ("levels", "1, 2,3", (1, 2, 3)),
    ],
)
def test_a_text_becomes_a_value_and_the_value_the_text(plain, name, text, value):
    parameter = by_name(plain)[name]
    assert parameter.read(text) == value
    assert parameter.read(parameter.show(value)) == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("n_iterations", "7.5", "'7.5'; give a whole number."),
        ("n_iterations", "", "''; give a whole number."),
        ("weight", "much", "'much'; give a number, or nothing."),
        ("weight", "nan", "'nan'; give a number, or nothing."),
        ("prior", "l0", "'l0'; give one of tv, wavelet."),
        ("is_isotropic", "perhaps", "'perhaps'; give true or false."),
        ("levels", "1, two", "'1, two'; give whole numbers with commas between them."),
    ],
)
def test_a_text_that_means_nothing_is_refused_by_name(plain, name, text, words):
    with pytest.raises(ModelError) as caught:
        by_name(plain)[name].read(text)
    assert str(caught.value) == f"{name} is {words}"


def test_the_dataclass_is_the_judge(card):
    assert parameters.checked(card, {"lambda_": 1, "levels": [3]}) == {"lambda_": 1.0, "levels": (3,)}
    with pytest.raises(ModelError, match="n_iterations is 0, at least 1 is needed; lambda_ is -1"):
        parameters.checked(card, {"n_iterations": 0, "lambda_": -1})


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"n_iterations": "7"}, "n_iterations is '7'; give a whole number."),
        ({"n_iterations": True}, "n_iterations is True; give a whole number."),
        ({"is_isotropic": 1}, "is_isotropic is 1; give true or false."),
        ({"levels": "12"}, "levels is '12'; give values"),
        ({"levels": 3}, "levels is 3; give values"),
        ({"lambda_": float("nan")}, "lambda is nan; give a number."),
        ({"mu": 1}, "Solver has no parameter 'mu'; it has is_isotropic, lambda_"),
    ],
)
def test_values_of_a_wrong_type_are_refused_before_they_are_compared(card, overrides, words):
    with pytest.raises(ModelError) as caught:
        parameters.checked(card, overrides)
    assert words in str(caught.value)


MISFITS = {
    "whole": ("x", 1.5, True, None, (1,)),
    "number": ("x", True, float("inf"), None, (1.0,)),
    "switch": ("x", 1, None),
    "choice": ("x", 1, None),
    "text": (1, True, None, ("x",)),
    "list": (3, "x", None, (None,), {}),
}


@pytest.mark.parametrize(
    "card", [card for card in models.list_models() if not card.problem], ids=lambda card: card.name
)
def test_no_parameter_of_any_method_takes_a_value_of_another_type(card):
    for item in parameters.parameters_of(card):
        for value in MISFITS[item.kind]:
            if value is None and item.is_optional:
                continue
            with pytest.raises(ModelError) as caught:
                models.create(card.name, **{item.name: value})
            assert str(caught.value).startswith(f"{item.spoken} is {value!r}; give "), card.name


def test_every_preset_has_parameters_that_its_family_accepts():
    for card in models.list_models():
        if card.family in models.FAMILIES and not getattr(card, "problem", ""):
            found = parameters.parameters_of(card)
            texts = {item.name: item.show(item.value) for item in found}
            assert parameters.checked(card, {item.name: item.read(texts[item.name]) for item in found}) is not None


def test_a_family_that_is_not_here_is_said(card):
    lost = ModelCard("lost", "Lost", "no_such_module:Lost", "Classical", "", "", source="lost 1.0")
    with pytest.raises(ModelError, match=r"lost of lost 1\.0 failed \(ModuleNotFoundError: .*no_such_module"):
        parameters.parameters_of(lost)


@dataclass(frozen=True)
class OpenParameters:
    """Types with alternatives, as plug-ins have them."""

    size: int | str = "auto"
    kernel: int | tuple[int, int] = 3
    pair: tuple[int, float] = (1, 0.5)
    order: Literal[1, 2] = 1
    weight: int | float | None = None


def test_what_has_alternatives_is_left_to_the_method():
    values = {"size": 5, "kernel": (3, 3), "pair": (1, 0.5), "order": 2, "weight": 3}
    assert parameters.typed(OpenParameters, values) == values
    assert parameters.typed(OpenParameters, {"size": "auto", "kernel": 5}) == {"size": "auto", "kernel": 5}
    with pytest.raises(ModelError, match="weight is 'x'"):
        parameters.typed(OpenParameters, {"weight": "x"})
