"""What version 0.1.0 left behind: files and a workspace that every later version has to read and use.

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
"""
