"""Shape-typed tensor annotations: ``Complex[Tensor, "*batch coil y x"]``. Checked under pytest, free elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Complex, Float, Real, Shaped
else:
    try:
        from jaxtyping import Bool, Complex, Float, Real, Shaped
    except ImportError:  # a bare checkout with torch alone: the annotations are then just the tensor type

        class _Unchecked:
            def __class_getitem__(cls, item: tuple[type, str]) -> type:
                return item[0]

        Bool = Complex = Float = Real = Shaped = _Unchecked

__all__ = ["Bool", "Complex", "Float", "Real", "Shaped"]
