"""The papers' networks: accumulation lengths as published, and sizes that others have counted."""

import pytest

from macgen.errors import MacgenError
from macgen.network import NETWORKS, paper_network
from tests.network.models import count_macs, of_kind


def lengths(network, kind, without=()):
    """Return the distinct lengths in the order of the layers."""
    found = [
        gemm.length
        for layer in network.layers
        if not any(part in layer.name for part in without)
        for gemm in of_kind(layer, kind)
    ]
    return list(dict.fromkeys(found))


def test_resnet18():
    network = paper_network("resnet18", 256)
    plain = ("fc", "downsample")
    assert lengths(network, "forward", plain) == [147, 576, 1152, 2304, 4608]
    assert lengths(network, "gradient", plain) == [3211264, 802816, 200704, 50176, 12544]
    by_name = {layer.name: layer for layer in network.layers}
    assert list(by_name)[:4] == ["conv0", "block1.0.conv1", "block1.0.conv2", "block1.1.conv1"]
    assert [by_name[f"block{stage}.0.downsample"].forward.length for stage in (2, 3, 4)] == [64, 128, 256]
    assert by_name["fc"].forward.length == 512
    assert of_kind(by_name["fc"], "gradient")[0].length == 256
    # The input gradient of a block sums over the channels of its result.
    assert of_kind(by_name["block2.0.conv1"], "backward")[0].length == 128 * 9
    assert of_kind(by_name["conv0"], "backward") == []
    assert len(by_name) == len(network.layers) == 21


def test_resnet32():
    network = paper_network("resnet32", 128)
    assert lengths(network, "forward", ["fc"]) == [27, 144, 288, 576]
    gradients = [
        of_kind(next(layer for layer in network.layers if layer.name.startswith(part)), "gradient")[0].length
        for part in ("conv0", "block1", "block2", "block3")
    ]
    assert gradients == [131072, 131072, 32768, 8192]
    assert len(network.layers) == 32


def test_alexnet():
    network = paper_network("alexnet", 1)
    assert lengths(network, "forward") == [363, 1600, 1728, 3456, 2304, 9216, 4096]


@pytest.mark.parametrize(
    ("name", "weights", "macs"),
    [
        # torchvision's models have 11 689 512 and 61 100 840 parameters with biases and batch normalisation.
        ("resnet18", 11_689_512 - 1000 - 2 * 4800, 1_814_073_344),
        ("alexnet", 61_100_840 - (64 + 192 + 384 + 256 + 256 + 4096 + 4096 + 1000), 714_188_480),
    ],
)
def test_size(name, weights, macs):
    network = paper_network(name, 1)
    assert sum(of_kind(layer, "gradient")[0].outputs for layer in network.layers) == weights
    assert count_macs(network, "forward") == count_macs(network, "gradient") == macs


@pytest.mark.parametrize("name", NETWORKS)
def test_every_size_grows_with_the_batch(name):
    network, larger = paper_network(name, 2), paper_network(name, 6)
    assert tuple(layer.batched(3) for layer in network.layers) == larger.layers
    assert (network.name, network.batch, network.skipped) == (name, 2, {})
    assert len({layer.name for layer in network.layers}) == len(network.layers)


@pytest.mark.parametrize(
    ("name", "batch", "sentence"),
    [
        ("resnet19", 1, "network 'resnet19' is unknown; accepted are resnet18, resnet32, alexnet or an ONNX file"),
        ("resnet18", 0, "batch 0 is not an integer from 1 to 2^24"),
        ("resnet18", 1 << 25, "batch 33554432 is not an integer from 1 to 2^24"),
    ],
)
def test_refusals(name, batch, sentence):
    with pytest.raises(MacgenError) as error:
        paper_network(name, batch)
    assert str(error.value) == sentence
