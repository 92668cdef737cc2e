"""Pictures that excite a channel, by gradient ascent.

Activation maximisation: Erhan et al., technical report 1341, University of Montreal, 2009; of a class, with a penalty
on the picture's size: Simonyan et al., ICLR workshop 2014, arXiv:1312.6034; smoothness: Mahendran and Vedaldi, CVPR
2015, arXiv:1412.0035; jitter, and a picture made of waves: Olah et al., Distill 2017, doi:10.23915/distill.00007.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from inspect_fer.capture import find_layer, leave_no_trace, whole_pass
from inspect_fer.errors import ConfigError, NetworkError
from inspect_fer.internals.layout import as_maps, checked_layout
from inspect_fer.internals.maps import is_logits, output_of
from inspect_fer.internals.numbers import single_channels
from inspect_fer.schema import Classifier, ModelCard, Tick
from inspect_fer.twin import exact_twin

EDGE = 0.02
"""A start lies at least so far inside the range of pixels, 0..1, from whose ends no gradient leads back."""


@dataclass(frozen=True, eq=False)
class Visualisation:
    """One picture a channel, and how far it excites the channel.

    images: (M, C, H, W) float32 network input, every pixel within what a picture file can hold; pixels: the same, uint8
    start, reached: (M,) float32, mean activation of the channel by the first picture and by the last
    """

    images: Tensor
    pixels: Tensor
    channels: tuple[int, ...]
    start: Tensor
    reached: Tensor
    layer: str

    @property
    def silent(self) -> Tensor:
        """(M,) bool, where nothing was gained: mostly a ReLU that gave zero for the first picture, and no gradient."""
        return self.reached <= self.start


@dataclass(frozen=True)
class Ascent:
    """How pictures are found.

    rate: of Adam, over the waves' amplitudes; noise: of the first picture
    jitter: in each step the picture is moved by up to so many pixels
    decay: weight of the picture's mean squared distance from the start; variation: of its neighbours' squared
    differences; both in network input
    """

    steps: int = 100
    rate: float = 0.05
    noise: float = 0.01
    jitter: int = 3
    decay: float = 0.0
    variation: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        positive, others = (self.steps, self.rate, self.noise), (self.jitter, self.decay, self.variation)
        if not all(map(isfinite, positive + others)) or min(positive) <= 0 or min(others) < 0:
            raise ConfigError(f"Steps, rate and noise are positive, jitter and penalties not negative; not {self}.")


def waves(height: int, width: int) -> Tensor:
    """By how much each wave of a picture counts, (H, W // 2 + 1): the inverse of its frequency, as in photographs."""
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    return 1 / torch.hypot(down, across).clamp(min=1 / max(height, width))


def picture_of(amplitudes: Tensor, base: Tensor) -> Tensor:
    """Pixels in 0..1, (M, C, H, W), of complex amplitudes (M, C, H, W // 2 + 1, 2) around a base (C, H, W)."""
    height, width = base.shape[1:]
    scaled = torch.view_as_complex(amplitudes) * waves(height, width)
    pixels: Tensor = (base + torch.fft.irfft2(scaled, s=(height, width), norm="ortho") / 4).sigmoid()
    return pixels


def moved(images: Tensor, down: int, across: int, most: int) -> Tensor:
    """Move images (N, C, H, W) by up to `most` pixels; what comes in repeats the edge."""
    height, width = images.shape[2:]
    top, left = most + down, most + across
    return F.pad(images, [most] * 4, mode="replicate")[:, :, top : top + height, left : left + width]


def penalty(images: Tensor, start: Tensor, decay: float, variation: float) -> Tensor:
    """decay mean (x - start)^2 + variation mean of squared differences of neighbours: (N, C, H, W) -> (N,)."""
    size = (images - start).square().mean(dim=(1, 2, 3))
    rough = images.diff(dim=2).square().mean(dim=(1, 2, 3)) + images.diff(dim=3).square().mean(dim=(1, 2, 3))
    return decay * size + variation * rough


def feature_visualisation(
    model: Classifier,
    layer: str,
    channels: Sequence[int] | Tensor,
    ascent: Ascent | None = None,
    *,
    start: Tensor | None = None,
    batch_size: int = 32,
    tick: Tick | None = None,
) -> Visualisation:
    """Find a picture for each channel that makes its mean activation large.

    layer: as in `activation_maps`; of "logits" the channels are classes. start: (C, H, W) network input that noise is
    added to, by default the mean of the training images. A picture depends on its channel and the seed, on no other
    channel. A channel that is silent at the start has no gradient to follow: name the layer before the ReLU then.
    Raises UnknownNameError, NetworkError and ConfigError.
    """
    card, ascent = model.card, ascent or Ascent()
    first = torch.zeros(card.input_size) if start is None else start.detach().to("cpu", torch.float32)
    if tuple(first.shape) != card.input_size:
        wanted, given = (" x ".join(map(str, size)) for size in (card.input_size, first.shape))
        raise ConfigError(f"The start is one image of {wanted} as network input, not {given}.")
    if batch_size < 1:
        raise ConfigError(f"At least one picture is found at a time, not {batch_size}.")
    found = []
    with leave_no_trace(model.network):
        network = exact_twin(model.network, (layer,), first.expand(2, -1, -1, -1))
        output, layout = output_of(network, layer, first[None])
        chosen = single_channels(channels, layer, output.shape[layout.axis])
        parts = [chosen[at : at + batch_size] for at in range(0, len(chosen), batch_size)]
        excite = partial(excitement, network, layer)
        for number, part in enumerate(parts):

            def told(done: int, before: int = number * ascent.steps) -> None:
                if tick:
                    tick(before + done, len(parts) * ascent.steps)

            begun, last = _climb(excite, part, ascent, first, card, told)
            found.append((last, excite(begun, part)[0], excite(last, part)[0]))
    images, before, after = map(torch.cat, zip(*found, strict=True))
    return Visualisation(images, _pixels(images, card), tuple(chosen), before, after, layer)


def excitement(network: nn.Module, layer: str, images: Tensor, channels: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean activation (N,) of one channel an image, and its gradient by the images, (N, C, H, W); both on the CPU.

    Raises NetworkError where no gradient leads from the layer back to the input.
    """
    module = None if is_logits(network, layer) else find_layer(network, layer)
    whole = whole_pass(network, images, lambda found: found is module)
    outputs = [output for _, output in whole.outputs] if module else [whole.logits]
    if not outputs or not outputs[-1].requires_grad:
        raise NetworkError(f"No gradient leads from layer {layer!r} back to the input; name another layer.")
    with torch.inference_mode(mode=False), torch.enable_grad():
        maps = as_maps(outputs[-1], checked_layout(network, layer, outputs[-1], images))
        values = maps[torch.arange(len(images)), list(channels)].reshape(len(images), -1).mean(dim=1)
        (gradient,) = torch.autograd.grad(values.sum(), [whole.images])
    return values.detach().to("cpu", torch.float32), gradient.to("cpu", torch.float32)


def _climb(
    excite: Callable[[Tensor, Sequence[int]], tuple[Tensor, Tensor]],
    channels: Sequence[int],
    ascent: Ascent,
    first: Tensor,
    card: ModelCard,
    told: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """The first pictures and the last ones, (M, C, H, W) network input. told: hears how many steps are done."""
    base = _unscaled(first, card).clamp(EDGE, 1 - EDGE).logit()
    shifts = torch.Generator().manual_seed(ascent.seed)
    with torch.inference_mode(mode=False), torch.enable_grad():
        amplitudes = torch.stack([_noise(channel, ascent, first) for channel in channels]).requires_grad_()
        adam = torch.optim.Adam([amplitudes], lr=ascent.rate, maximize=True)
        begun = images = card.scale(255 * picture_of(amplitudes, base))
        for done in range(1, ascent.steps + 1):
            down, across = torch.randint(-ascent.jitter, ascent.jitter + 1, (2,), generator=shifts).tolist()
            shown = moved(images, down, across, ascent.jitter)
            _, gradient = excite(shown.detach(), channels)
            gain = (shown * gradient).sum() - penalty(images, first, ascent.decay, ascent.variation).sum()
            (amplitudes.grad,) = torch.autograd.grad(gain, [amplitudes])
            adam.step()
            images = card.scale(255 * picture_of(amplitudes, base))
            told(done)
    return begun.detach(), images.detach()


def _unscaled(images: Tensor, card: ModelCard) -> Tensor:
    """Network input (..., C, H, W) as pixels in 0..1: what `card.scale` undoes."""
    black, white = (card.scale(torch.full((1, card.input_size[0], 1, 1), value))[0] for value in (0.0, 255.0))
    return (images - black) / (white - black)


def _pixels(images: Tensor, card: ModelCard) -> Tensor:
    return (255 * _unscaled(images, card)).round().clamp(0, 255).to(torch.uint8)


def _noise(channel: int, ascent: Ascent, first: Tensor) -> Tensor:
    """Amplitudes of the first picture, (C, H, W // 2 + 1, 2): those of this channel, whatever others are asked for."""
    generator = torch.Generator().manual_seed(ascent.seed + 1_000_003 * (channel + 1))
    return ascent.noise * torch.randn(*first.shape[:2], first.shape[2] // 2 + 1, 2, generator=generator)
