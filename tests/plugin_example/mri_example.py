"""A method from outside: shrink what is faint, which aliasing is, put the measured samples back, and again."""

from dataclasses import dataclass

from recon.errors import ModelError
from recon.models import ModelCard
from recon.models.blocks import ReconstructionModel
from recon.stage import Stage

CARD = ModelCard(
    name="example",
    title="Shrink and measure",
    family="mri_example:Example",
    group="Examples",
    paper="Daubechies et al., An iterative thresholding algorithm, 2004",
    summary="Iterative shrinkage of the image itself. An example of a plug-in.",
    needs_training=False,
    data_consistency="hard",
)


@dataclass(frozen=True)
class ExampleParameters:
    n_iterations: int = 10
    threshold: float = 1.0

    def __post_init__(self):
        if self.n_iterations < 1 or self.threshold < 0:
            raise ModelError(f"{self} is impossible; n_iterations is at least 1, threshold at least 0.")


class Example(ReconstructionModel):
    def __init__(self, n_coils, parameters):
        super().__init__()
        self.n_coils, self.parameters_ = n_coils, parameters

    @property
    def n_stages(self):
        return self.parameters_.n_iterations

    def stages(self, zero_filled, kspace, mask, maps=None):
        image, consistency = zero_filled, self.hard_consistency(kspace, mask)
        for iteration in range(1, self.n_stages + 1):
            magnitude = image.abs().square().sum(dim=1, keepdim=True).sqrt()
            kept = (1 - self.parameters_.threshold / magnitude.clamp_min(1e-9)).clamp_min(0)
            image = consistency(image * kept)
            is_final, progress = iteration == self.n_stages, iteration / self.n_stages
            yield Stage("iterate", ("iterate", iteration), image, is_final, progress=progress)
