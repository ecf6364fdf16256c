"""Networks for those who bring none: called with (classes, channels), as every `module:function` is."""

from torch import nn

from fmi_engine.vision import torchvision


def small_resnet(classes: int, channels: int) -> nn.Module:
    """A ResNet of four residual blocks (64, 128, 256, 512 filters), fit for training on two cores.

    He et al., Deep Residual Learning for Image Recognition, arXiv 1512.03385; built of torchvision's
    parts. `channels` is 1 for grey images, 3 for RGB.
    """
    resnet = torchvision().models.resnet
    network: nn.Module = resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=classes)
    network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network
