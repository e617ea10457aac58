"""The networks of the papers on accumulator widths, by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from macgen.errors import MacgenError, check_integer, shown
from macgen.network.gemm import MAX_BATCH, Layer, Network, conv_layer, linear_layer


def resnet18(batch: int) -> Network:
    """Return ResNet-18 on ImageNet (224 x 224): He et al., CVPR 2016, arXiv 1512.03385, table 1.

    Layers: `conv0`, `block1.0.conv1` to `block4.1.conv2`, the 1 x 1 projections `block2.0.downsample` to
    `block4.0.downsample` (option B), `fc`.

    Raises:
        MacgenError: the batch is not a positive integer.
    """
    layers = [_square("conv0", batch, 3, 64, kernel=7, size=112, in_size=224, input_gradient=False)]
    channels = 64
    for stage, (width, size) in enumerate(((64, 56), (128, 28), (256, 14), (512, 7)), start=1):
        before = 56 if stage == 1 else 2 * size  # the pool between conv0 and block1 has halved already
        for block in range(2):
            name, in_size = f"block{stage}.{block}", before if block == 0 else size
            layers.append(_square(f"{name}.conv1", batch, channels, width, kernel=3, size=size, in_size=in_size))
            layers.append(_square(f"{name}.conv2", batch, width, width, kernel=3, size=size))
            if channels != width:
                projection = f"{name}.downsample"
                layers.append(_square(projection, batch, channels, width, kernel=1, size=size, in_size=in_size))
            channels = width
    layers.append(linear_layer("fc", batch=batch, inputs=channels, outputs=1000))
    return Network("resnet18", batch, tuple(layers))


def resnet32(batch: int) -> Network:
    """Return ResNet-32 on CIFAR-10 (32 x 32): He et al., CVPR 2016, arXiv 1512.03385, section 4.2, n = 5.

    Layers: `conv0`, `block1.0.conv1` to `block3.4.conv2`, `fc`. The shortcuts have no weights (option A).

    Raises:
        MacgenError: the batch is not a positive integer.
    """
    layers = [_square("conv0", batch, 3, 16, kernel=3, size=32, input_gradient=False)]
    channels = 16
    for stage, (width, size) in enumerate(((16, 32), (32, 16), (64, 8)), start=1):
        for block in range(5):
            in_size = size if channels == width else 2 * size
            name = f"block{stage}.{block}"
            layers.append(_square(f"{name}.conv1", batch, channels, width, kernel=3, size=size, in_size=in_size))
            layers.append(_square(f"{name}.conv2", batch, width, width, kernel=3, size=size))
            channels = width
    layers.append(linear_layer("fc", batch=batch, inputs=channels, outputs=10))
    return Network("resnet32", batch, tuple(layers))


def alexnet(batch: int) -> Network:
    """Return AlexNet on ImageNet (224 x 224), the variant for one GPU: Krizhevsky, arXiv 1404.5997, without groups.

    Layers: `conv1` to `conv5`, `fc6` to `fc8`.

    Raises:
        MacgenError: the batch is not a positive integer.
    """
    layers = (
        _square("conv1", batch, 3, 64, kernel=11, size=55, in_size=224, input_gradient=False),
        _square("conv2", batch, 64, 192, kernel=5, size=27),
        _square("conv3", batch, 192, 384, kernel=3, size=13),
        _square("conv4", batch, 384, 256, kernel=3, size=13),
        _square("conv5", batch, 256, 256, kernel=3, size=13),
        linear_layer("fc6", batch=batch, inputs=256 * 6 * 6, outputs=4096),
        linear_layer("fc7", batch=batch, inputs=4096, outputs=4096),
        linear_layer("fc8", batch=batch, inputs=4096, outputs=1000),
    )
    return Network("alexnet", batch, layers)


NETWORKS: Mapping[str, Callable[[int], Network]] = MappingProxyType(
    {function.__name__: function for function in (resnet18, resnet32, alexnet)}
)


def paper_network(name: str, batch: int) -> Network:
    """Return a network of the catalogue.

    Raises:
        MacgenError: there is none of this name, or the batch is not an integer from 1 to 2**24.
    """
    if not isinstance(name, str) or name not in NETWORKS:
        raise MacgenError(f"network {shown(name)} is unknown; accepted are {', '.join(NETWORKS)} or an ONNX file")
    check_integer("batch", batch, 1, MAX_BATCH)
    return NETWORKS[name](batch)


def _square(
    name: str,
    batch: int,
    in_channels: int,
    out_channels: int,
    *,
    kernel: int,
    size: int,
    in_size: int | None = None,
    input_gradient: bool = True,
) -> Layer:
    return conv_layer(
        name,
        batch=batch,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=(kernel, kernel),
        out_size=(size, size),
        in_size=None if in_size is None else (in_size, in_size),
        input_gradient=input_gradient,
    )
