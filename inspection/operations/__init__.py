"""Operations: lighting and texture changes of an image, each with a strength.

To add an operation, add one entry to OPERATIONS of the file that it belongs to:

- exposure (darker, brighter, contrast), light (side light, vignette), hot_spot, shadow, colour,
  blur (defocus, motion blur), sensor (noise, compression), surface (line pattern, texture), dirt (dust),
  geometry: the entries, what they build, and the transforms that albumentations does not have
- operation: what an operation is, the families, and the types of its parts
- planes: fields over an image that transforms are drawn with
- catalogue: all of them, found by name, and one after the other
"""
