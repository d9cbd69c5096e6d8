"""What stages are called and what they are, in the words of the window."""

from __future__ import annotations

import math

HINTS = {
    "zero-filled": "What the undersampled k-space gives without a model",
    "final": "The result of the model",
    "reference": "The fully sampled image; errors are measured against it",
    "OC": "Output of the overcomplete network, which looks at fine detail",
    "UC": "Output of the undercomplete network, which looks at large structures",
    "iterate": "Where the solver stands; the last iterate is the result",
    "cascade": "Output of the cascades, each a network and data consistency",
    "stage": "Output of the stages, each a gradient step with a learned prior",
}
SCALE_HINT = "Output of the network that sees the image at {share} of its resolution"
SHARES = {"4x": "a quarter", "2x": "half", "1x": "all"}


def shown_name(name: str) -> str:
    """Name of a stage as the window writes it: ``Zero-filled`` and ``Final``, but ``4x`` and ``OC`` as they are."""
    return name[:1].upper() + name[1:]


def hint(name: str) -> str:
    """What a stage is, for those who have not read the papers."""
    scale = name.split(" ", 1)[0]
    if scale in SHARES:
        return SCALE_HINT.format(share=SHARES[scale])
    return HINTS.get(name, HINTS.get(scale, ""))


def score_text(scores: dict[str, float] | None) -> str:
    """PSNR for the head of a column: ``31.2 dB``."""
    if scores is None:
        return ""
    return "∞ dB" if scores["psnr"] == math.inf else f"{scores['psnr']:.1f} dB"
