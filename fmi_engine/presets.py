"""How a descent runs: the presets, and what can be chosen."""

from dataclasses import dataclass, fields

from fmi_engine.errors import EngineError

PARAMETRIZATIONS = ("pixels", "input", "spectrum", "plant", "phase")
OPTIMISERS = ("adam", "sgd", "lbfgs")
STARTS = ("normal", "uniform")


@dataclass(frozen=True, slots=True)
class Preset:
    """Parametrisation, loss, priors, jitter, optimiser and when to stop.

    The loss of a picture is `loss_scale` * (`target` * its residual + `natural` * the distance of its codes
    from the distribution of those of real crops that excite its filter + `selectivity` * how far the filter
    is from leading its layer) + `learnt` * its distance from itself denoised + `total_variation` * TV^beta
    of the picture in 0 to 1 + `alpha_norm` * mean |x|^alpha of the standardised input x + `weight_decay` / 2
    * ||x||^2. A filter leads where its energy is `lead` sigma further above normal than that of any other,
    and than normal. Raises EngineError for a word that is none.
    """

    parametrization: str = "pixels"
    standardised: bool = False  # compare codes in units of each filter's sigma
    target: float = 1.0  # weight of the residual
    natural: float = 0.0  # weight of the distance from the distribution of real codes
    crops: int = 24  # real crops that this distribution is of
    learnt: float = 0.0  # weight of the distance from the denoised picture, where there is a denoiser
    selectivity: float = 0.0  # weight of what a filter lacks to lead its layer
    lead: float = 0.3  # sigma
    loss_scale: float = 1.0
    total_variation: float = 0.0
    beta: float = 2.0
    alpha_norm: float = 0.0
    alpha: float = 6.0
    weight_decay: float = 0.0
    jitter: float = 0.0  # rolls the picture at random, by up to this share of the layer's stride
    source_jitter: float = 0.0  # rolls picture and source together, so that the target stays true
    optimiser: str = "adam"
    steps: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.0  # of sgd
    decay: float = 1.0  # the learning rate is multiplied by it ...
    decay_every: int = 1  # ... after this many steps
    clip: float = 0.0  # largest norm of a picture's gradient; 0 is none
    fine_steps: int = 0  # further steps at a tenth of the rate, without jitter
    start: str = "normal"  # noise around mid grey; or uniform noise of the input, around 0
    contrast: float = 0.02  # of that noise: its standard deviation, or half its range
    tolerance: float = 0.0  # a picture whose loss changes by less, relatively, over `patience` steps stops
    patience: int = 1
    denoise: float = 0.0  # weight of Chambolle's total variation denoising at the end
    average_pooling: bool = False  # in place of maximum pooling, during the descent

    def __post_init__(self) -> None:
        for name, known in (
            ("parametrization", PARAMETRIZATIONS),
            ("optimiser", OPTIMISERS),
            ("start", STARTS),
        ):
            if getattr(self, name) not in known:
                raise EngineError(f"no {name} {getattr(self, name)!r}; these exist: {', '.join(known)}")


PRESETS = {
    # What tells a filter's real crops best while the filter ranks first, on a VGG trained on steel and a
    # ResNet on solar cells, 96 pixels, 12 to 16 filters of a stage. Without the distribution all rank first
    # and go a tenth of the way from chance to real crops; by it alone they go .3 to .7 of it, and a tenth
    # rank first; with rivals scaled down and the hinge nearly all do, at the same way. The target costs
    # readability: .71 of the way at a weight of 0, .64 at .05. Rates from .06 to .3 take it from .4 to .55 at
    # one stage; at .2 and more one in eight filters of another lost its rank. Windows took VGG's last two
    # stages from .54 and .50 to .59 and .66. Pulled to what a denoiser has learnt, the ResNet's first three
    # blocks went from .65, .64 to .77, 1.03 (.49 to .67 at the stem) and by eye from blotches to lines and
    # spots; 2 and 3 in place of 1 gain VGG's stage 4 .1, and cost the stem's filters, which all see
    # brightness, their rank (.83 to .67 of them). What changed nothing: Gram matrices, projections of codes
    # on random directions or of patches on random kernels, other weights of layers, larger crops, 8 of the 24
    # crops to a picture, twice the steps.
    "default": Preset(
        parametrization="spectrum",
        standardised=True,
        target=0.02,
        natural=1.0,
        learnt=1.0,
        selectivity=1.0,
        total_variation=0.3,
        steps=96,
        learning_rate=0.15,
        decay=0.6,
        decay_every=24,
    ),
    # Xia et al., arXiv 1608.04170: made for a VGG-19 with average pooling. Its squared error is not divided
    # by ||F*||^2, and its clip and decay are made for that: undivided, the gradient exceeds the clip of 10
    # nearly to the end, so that the rate alone sets the pace, and decay hardly counts. Divided, the gradient
    # is some 0.003, a step moves a picture whose norm is to be 100 by that much, and decay outweighs the
    # residual: it stays grey. `loss_scale` stands for ||F*||^2: measured 2e5 to 6e6 on a small VGG at 128
    # pixels, where 1e4 to 1e6 give the same pictures, as near to the target as Adam's.
    # The change that ends a descent is taken over the 10 steps of one rate: before momentum has built up, a
    # single step changes the error by less than 0.005, and the descent would end with the second.
    "paper": Preset(
        parametrization="input",
        loss_scale=1e5,
        weight_decay=5e-4,
        optimiser="sgd",
        steps=1000,
        learning_rate=0.1,
        momentum=0.9,
        decay=0.9,
        decay_every=10,
        clip=10.0,
        start="uniform",
        contrast=0.1,
        tolerance=0.005,
        patience=10,
        denoise=0.2,
        average_pooling=True,
    ),
    # Mahendran and Vedaldi, arXiv 1412.0035 and IJCV 2016.
    "mahendran": Preset(
        parametrization="input",
        total_variation=1.0,
        alpha_norm=1e-4,
        jitter=0.25,
        steps=300,
        learning_rate=0.05,
        fine_steps=50,
    ),
    # What crops that excite a filter hold, with all that other filters see in them, under the mean amplitudes
    # of the sources: to be laid over images. Recipes on steel, 5 logged images, accuracy under the fault: a
    # weave .84, with free amplitudes .66 (periodic textures fall apart), the true fault .85; orange peel .76,
    # .77 and .77.
    "texture": Preset(
        parametrization="phase",
        standardised=True,
        target=0.0,
        natural=1.0,
        steps=96,
        learning_rate=0.1,
        decay=0.6,
        decay_every=24,
    ),
}


def find_preset(name: str) -> Preset:
    """The preset of a name. Raises EngineError naming those that exist."""
    if name not in PRESETS:
        raise EngineError(f"no preset {name!r}; these exist: {', '.join(PRESETS)}")
    return PRESETS[name]


def describe_preset(preset: Preset) -> str:
    """What a preset sets away from a plain descent, as `name=value` words."""
    plain = Preset()
    changed = [f for f in fields(Preset) if getattr(preset, f.name) != getattr(plain, f.name)]
    return " ".join(f"{f.name}={getattr(preset, f.name)}" for f in changed) or "plain"
