"""The method's own constants that decide a diagnosis, each with its unit.

Settings that a plant may change live in `workspace.settings` (fmi.toml), those of a claim under `[matching]`.

`python -m tests.benchmarks.sensitivity` halves and doubles each of both, on nights with one cause, with two
and with none, and says what changes. So far, on hot-rolled steel (64 px; 6 faults, 4 pairs, 2 nights without
a fault, 2 of wrong labels): halved, LIKE_PREDICTED puts both nights without a fault down to labels; all
others down to PATTERN_GAIN, the looks apart, change no claim (BASELINE_PARTS was only doubled). RESOLUTION
stands for three floors (.005, .02 and .02) of which none changed a claim at half or double. What follows
PATTERN_GAIN is not measured yet.
"""

# --- shifts and explained shares (evidence) ---

EXAMINED_ERRORS = 200  # errors of a group, at most, whose look is measured and that are compared one by one
REFERENCE_POOL = 1000  # reference images, at most, among which the one nearest to an error is sought
BASELINE_PARTS = 8  # hardest parts of a class, at least, that stand for the errors made without any change
MOST_OFFSET = 2.0  # times where failing parts stand before a change, at most, that go along with its shift
# One rule for every share that is multiplied or weighed: what lies below the resolution is not distinguished
# from none. No cause is ranked before another because it leaves .003 of a view unexplained where the other
# leaves .006, or has every error nearer where the other lacks one of two hundred; and a reference image that
# a change does not make fail at all still counts a little.
RESOLUTION = 0.01  # of a share

# --- the look of images (evidence) ---

LOOK_FAINT = 0.02  # of full scale; added to a brightness before its logarithm
LOOK_FINE = 0.002  # of full scale; added to a difference between pixels before its logarithm
LOOK_BORDER = 16  # one part in as many of a side is border
LOOK_LINE_WIDTH = 9  # pixels; what varies more slowly across the lines is lighting

# --- nearest reference images (evidence) ---

TRIED_REFERENCES = 128  # reference images that a change is tried on, or one an error where those are more
REFINEMENTS = 2  # strengths, at most, that are tried after the first
REFINED_RANGE = 2.0  # times the strength that a refinement begins with, or one part in as many, at most
REFINED_STEP = 0.05  # of a strength: less is not worth another try
NEARER_SIGNIFICANCE = 0.1  # of a sign test: eight of ten errors, or all of four

# --- ranking of operations (causes) ---

TRIED_OPERATIONS = 6  # operations that are tried on the nearest reference images, at most
TRIED_MARGIN = 0.1  # mean share behind the best, at most, of an operation that is tried
RIVAL_WITHIN = 30.0  # times what the best promises to leave unexplained, at most, of a rival that is refined
PAIRED_OPERATIONS = 5  # of the best: those that are paired with every other
TRIED_PAIRS = 2  # pairs that are tried, at most
TAKEN_OF_REST = 0.5  # of what the best account leaves unexplained: a better one takes at least so much
CONTROL_LOGS = 200  # logs without a change, drawn for the control of the explained share
CONTROL_QUANTILE = 0.95  # of their highest explained shares

# --- the claim (causes) ---

LIKE_PREDICTED = 0.8  # of the errors nearest to a reference image of the predicted class: a matter of labels
PATTERN_GAIN = 0.03  # mean share beyond a pattern's that a measured change needs; others need `pair_gain`

# --- changes measured on the errors (causes) ---

MEASURED_ERRORS = 400  # errors, at most, that a change is measured and judged on
HALVES_DIFFER = 0.05  # of the mean share: what the second half, beyond the first, does not make up for
EXCESS = 1.5  # times the normal power: a residual texture below it is within what parts differ by
CERTAIN = 2.0  # times the power that the mean of as many normal images has: a fixed pattern below is chance
COARSEST = 4  # cosine periods: coarser than two waves across the image is lighting, not texture
RARE = 0.005  # of the normal pixels: of the darkest and the brightest there is next to no evidence

# --- the family of a measured change (causes) ---

LIGHTING = 0.5  # of the energy in waves too coarse for a texture: a change of light
SPARSE = 0.5  # of the energy on the densest tenth of the area: specks; evenly spread noise has 0.2
STRAIGHT = 0.8  # of the energy that is not coarse, in waves along one axis: lines from edge to edge
LINED = 0.3  # of the energy that is not coarse, at least, where lines are recognised
ONE_WAY = 0.8  # of the energy in waves of one direction, give or take 7.5 degrees
ONE_WAVE = 0.6  # of the energy within two periods of the strongest wave: a pattern that repeats
WHITE = (0.68, 0.85)  # mean wave number, in sides of the image, of what differs from pixel to pixel
NO_WAY = 0.25  # of the energy in waves of one direction: below, no direction dominates
SMOOTH = 0.2  # mean wave number, in sides, below which specks are large and soft
ELONGATED = 0.4  # of the energy in waves of one direction: a band rather than a drop
SHAPED = 0.6  # of the energy of a field of light, about its mean: the shape that it has
OTHER_SIGN = 0.1  # of the energy of a fixed pattern: as much of the other sign is none
ONE_WAY_ON = 0.5  # times how far a tone curve's differences spread: a mean above moves all levels one way

# --- groups of errors (modes) ---

COMPONENTS = 12  # of the shifts, in which groups are looked for
NEIGHBOURS = 3  # HDBSCAN's min_samples: how dense a group's middle has to be
SMALLEST_GROUP = 0.1  # of a night's errors: HDBSCAN's min_cluster_size, or twice the fewest errors
GROUP_EXPLAINED = 0.5  # mean explained share from which an operation speaks for a group
SAME_DIRECTION = 0.7  # cosine from which the shifts of two groups without an operation are one
JOIN_LOSS = 0.15  # of the mean explained share, at most, where one operation is to explain two groups
MINOR_GROUP = 0.2  # of a night's errors: a smaller group has to lose twice as much to stay by itself
JOIN_DISTANCE = 1.5  # times as far from a group as nearly all its members may an error lie that joins it
SPLIT_SHARE = 0.1  # of a group's errors, at least, are those of a cause that it is split by

# --- from night to night (nights) ---

# On the rendered line, signatures of one fault at other strengths and on other parts agree to 0.88 and more
# (a doubled against a half-raised exposure, which burns out, to 0.75), those of different faults to 0.37 at
# most; the errors that the model makes without any fault resemble a slight defocus to 0.83. By chance 0.8 is
# out of reach: the cosine of two random signatures has a standard deviation of 1/8.
RECOGNISED = 0.8  # cosine from which a failure mode is one that an earlier night found
TREND_SIGNIFICANCE = 0.05  # two-sided, of a change of the share of errors
