"""A model whose every answer is known: two numbers at the bottleneck paint two halves of a picture.

h = (2, 1, 1): the brightness of the upper and of the lower half of the predicted clean image. The
encoder reads them off x, with a built-in correlation: the lower half follows the upper one. So

* adding (a, b) to h at the last step changes the two brightnesses by exactly a and b (small ones:
  a scorer sees what a viewer sees, clipped to [-1, 1]);
* a direction found from samples selected by the upper half also holds some of the lower half,
  which is the entanglement that equation 12 is there to remove.
"""

import torch
from torch import Tensor

from hsem.diffusion.schedule import predict_x0
from hsem.directions.direction import Direction
from hsem.judges.scorers import FunctionScorer, from_function
from hsem.network.unet import Context, HSpaceUNet, Prediction

GAIN, FOLLOW = 1.0, 0.5


class Painter(HSpaceUNet):
    def __init__(self) -> None:
        self.name, self.fingerprint = "painter", "0123456789abcdef"
        self.image_shape, self.h_shape = (3, 8, 8), (2, 1, 1)
        self.alpha_bar = torch.linspace(0.999, 0.01, 1000, dtype=torch.float64)
        self.prediction_type, self.timestep_spacing, self.steps_offset = "epsilon", "leading", 0

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def encode(self, x: Tensor, t: int) -> tuple[Tensor, Context]:
        upper, lower = (GAIN * half for half in halves(x).T)
        h = torch.stack([upper, FOLLOW * upper + (1 - FOLLOW**2) ** 0.5 * lower], dim=1)
        return h[:, :, None, None], Context((), torch.empty(0), x, t)

    def predict(self, h: Tensor, context: Context) -> Prediction:
        x0 = h.repeat_interleave(4, dim=2).reshape(len(h), 1, 8, 1).expand(-1, 3, -1, 8)
        a = float(self.alpha_bar[context.t])
        eps = (context.x - a**0.5 * x0) / (1 - a) ** 0.5
        torch.testing.assert_close(predict_x0(context.x, eps, a), x0, atol=1e-4, rtol=1e-4)
        return Prediction(eps, x0)

    def decode(self, h: Tensor, context: Context) -> Tensor:
        return self.predict(h, context).eps

    def last_step(self, steps: int, upper: float, lower: float) -> Direction:
        """The direction that adds (upper, lower) at the last step and nothing before."""
        delta_h = torch.zeros(steps, *self.h_shape)
        delta_h[-1, :, 0, 0] = torch.tensor([upper, lower])
        return Direction(delta_h, self.schedule(steps).timesteps)


def halves(images: Tensor) -> Tensor:
    """Brightness of the upper and of the lower half, (n, 2)."""
    return torch.stack([images[:, :, :4].mean((1, 2, 3)), images[:, :, 4:].mean((1, 2, 3))], dim=1)


HALVES: FunctionScorer = from_function(halves, ["upper", "lower"], "halves")
