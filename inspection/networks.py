"""Networks for those who bring none: called with (classes, channels), as every `module:function` is."""

from collections import OrderedDict

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


def small_vgg(classes: int, channels: int) -> nn.Module:
    """A VGG of five stages (16, 32, 64, 128, 256 filters) in the layout of VGG-11, for two cores.

    Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv
    1409.1556, with batch normalisation; global averaging takes the place of the three large fully
    connected layers. `channels` is 1 for grey images, 3 for RGB.
    """
    parts: list[nn.Module] = []
    width_before = channels
    for width, convolutions in ((16, 1), (32, 1), (64, 2), (128, 2), (256, 2)):
        for _ in range(convolutions):
            parts += [nn.Conv2d(width_before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            width_before = width
        parts.append(nn.MaxPool2d(2))
    for part in parts:
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width_before, classes))
    return nn.Sequential(OrderedDict(features=nn.Sequential(*parts[:-1]), head=head))
