r"""What version 0.1.0 left behind: files and a workspace that every later version has to read and use.

Nothing of `version_0_1/` is ever made anew: where a later version cannot use it, that version is broken, not
the fixture. It was made by version 0.1.0, with albumentations 2.0.8, NumPy 2.4, OpenCV 5.0, DuckDB 1.5 and
torch 2.13.

- `recipes/`: recipes for images of one channel (`grey`) and of three (`colour`), 32 x 32 pixels, written by
  `build_recipe` and `write_recipe`; what was measured in them by `mode_recipe.compose`, on 10 failing images
  of the sample line. One of each kind (one operation, alternatives, a pair, tone curve, fixed pattern,
  residual texture, both of these, an operation beside a pattern), one of each family with every operation of
  the catalogue in it, and one in format 1, which had no textures. So they hold every dotted name that an old
  recipe can. `grey.png` and `colour.png` are the images that `RecipeTransform(load_recipe(...), folder)` was
  given; `draws.json` lists (epoch, index) for every recipe, and `NAME.drawn.png` holds what came out, side by
  side, in that order. Every operation was drawn at least once.
- `fmi.toml`: what `fmi init` wrote, with the three settings in it that were retired until then, as earlier
  versions wrote them.
- `workspace.tar.xz`: a workspace in /tmp/line1, without its caches (`cache/`, `.prefect/`, and what the
  operations do to the model), with images of the sample line (32 x 32 pixels, brushed, good, pit and scratch:
  40 of each as commissioned, 20 and 12 under a lamp at 45 %). In it were run

      fmi init /tmp/line1                  # then some settings were lowered, for a night of seconds
      fmi register checkpoint.pt -a inspection.networks:small_resnet --classes good,pit,scratch --good good \
          --reference images/commissioned --input-size 32 --channels 1 --mean 0.46957... --std 0.06866...
      fmi evaluate images/aged --log ...   # 40 errors, parted into two logs, with paths relative to logs/
      fmi night logs/monday.csv            # finished: dimmer lamp by 1.14 stops or gamma darker
      fmi retrain --holdout images/unseen  # accepted; 200 steps, by the environment
      fmi night logs/tuesday.csv           # killed (SIGKILL) one and a half seconds after its thumbnails

  and a reviewer confirmed the failure mode. A `small_resnet` takes 20 MB, so this one was trained as
  `fmi train` does, then for 16 epochs more with 98 % of its weights held at zero and the others rounded to 4
  bits; the retraining held them there, too, and rounded to 5.

`workspace.py` unpacks the workspace and gives it the paths and ids of its new place, which no user has to do.
"""
