"""SRResNet: Ledig et al., Photo-Realistic Single Image Super-Resolution Using a GAN, CVPR 2017 (the generator)."""

import torch
from torch import nn

from pipeline.layers import Residual, conv, steps_of
from pipeline.sections import Count, Section, Width

SLOPE = 0.25  # where torch starts a PReLU
KNOTS, REACH, REACHED = 8, 2.0, 0.99  # hinges for each colour, their spread (tanh's input), the brightest tone (tanh's output)


class Config(Section):
    blocks: Count
    width: Width
    batch_norm: bool  # the paper's: true


def layer(width: int, batch_norm: bool) -> list[nn.Module]:
    return [conv(width, width, 3), *([nn.BatchNorm2d(width)] if batch_norm else [])]


def block(width: int, batch_norm: bool) -> Residual:
    return Residual(*layer(width, batch_norm), nn.PReLU(), *layer(width, batch_norm))


class Model(nn.Module):
    """BatchNorm (or none), PReLU of one slope, 9x9 head and tail, tanh: works in [-1, 1] inside."""

    def __init__(self, config: Config, scale: int) -> None:
        super().__init__()
        width = config.width
        self.head = nn.Sequential(conv(3, width, 9), nn.PReLU())
        self.blocks = nn.Sequential(*[block(width, config.batch_norm) for _ in range(config.blocks)])
        self.body_end = nn.Sequential(*layer(width, config.batch_norm))
        self.upsampler = nn.Sequential()
        for r in steps_of(scale):
            self.upsampler.extend([conv(width, width * r * r, 3), nn.PixelShuffle(r), nn.PReLU()])
        self.tail = conv(width, 3, 9)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        head = self.head(2 * lr - 1)
        features = head + self.body_end(self.blocks(head))
        sr: torch.Tensor = (self.tail(self.upsampler(features)).tanh() + 1) / 2
        return sr

    @torch.no_grad()
    def start_as_interpolation(self) -> None:
        """Start close to nearest-neighbour upsampling, within some 1/255 for a width of 24 or more.

        Head and upsampler carry x and -x of each colour, since (PReLU(x) - PReLU(-x)) / 1.25 = x for the slope 0.25; the last layer
        before a skip, BatchNorm or convolution, starts at 0. A tanh behind a linear tail would bend the tones, and no white could
        be reached, so the last PReLU becomes a set of hinges, PReLU(x - knot), from which the tail makes a piecewise linear atanh.
        """
        signs = torch.tensor([[1.0], [-1.0]])
        invert = torch.tensor([[1.0, -1.0]]) / (1 + SLOPE)
        for last in (*(block.body[-1] for block in self.blocks), self.body_end[-1]):  # type: ignore[index]
            last.weight.zero_()  # type: ignore[operator, union-attr]
            last.bias.zero_()  # type: ignore[operator, union-attr]
        knots = torch.tanh(torch.linspace(-REACH, REACH, min(self.tail.in_channels // 3, KNOTS)))
        knots[0] = -1.0
        convs = [layer for layer in self.upsampler if isinstance(layer, nn.Conv2d)]
        _mix(self.head[0], signs, torch.zeros(2))  # type: ignore[arg-type]
        for layer in convs[:-1]:
            _mix(layer, signs @ invert, torch.zeros(2), layer.out_channels // layer.in_channels)
        _mix(convs[-1], invert.expand(len(knots), 2), -knots, convs[-1].out_channels // convs[-1].in_channels)
        self.tail.weight.zero_()
        coefficients, bias = _atanh_of_hinges(knots)
        _mix(self.tail, coefficients[None], bias[None])


def _mix(layer: nn.Conv2d, matrix: torch.Tensor, bias: torch.Tensor, repeat: int = 1) -> None:
    """For each colour: outputs = matrix @ inputs + bias at the kernel's centre, each output `repeat` times in a row."""
    outputs, inputs = matrix.shape
    centre = layer.kernel_size[0] // 2
    for colour in range(3):
        for row in range(outputs):
            rows = slice((colour * outputs + row) * repeat, (colour * outputs + row + 1) * repeat)
            layer.weight[rows] = 0
            layer.weight[rows, colour * inputs : (colour + 1) * inputs, centre, centre] = matrix[row]
            layer.bias[rows] = bias[row]  # type: ignore[index]


def _atanh_of_hinges(knots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Coefficients and bias with sum(c * PReLU(x - knot)) + bias = atanh(x), least squares in terms of tanh's output."""
    x = torch.linspace(-1, 1, 511, dtype=torch.float64)
    target = x.clamp(-REACHED, REACHED).atanh()
    hinges = nn.functional.prelu(x[:, None] - knots.double(), torch.tensor(SLOPE, dtype=torch.float64))
    basis = torch.cat([hinges, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    weight = 1 - target.tanh() ** 2
    solution = torch.linalg.lstsq(basis * weight[:, None], (target * weight)[:, None]).solution[:, 0].float()
    return solution[:-1], solution[-1]
