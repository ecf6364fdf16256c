"""Operations: lighting and texture changes of an image, each with a strength.

To add an operation, add one entry to OPERATIONS of the file that it belongs to. Each of these files holds the
transforms that albumentations does not have, what builds a transform from a range of strengths, and the
entries, which have these families:

- exposure: darker, brighter, contrast
- light: side light, vignette
- relief: side light
- hot_spot: hot spot
- shadow: shadow
- colour: colour
- blur: defocus, motion blur
- sensor: noise, compression
- surface: line pattern, texture
- dirt: dust
- geometry: geometry
- defect: defect contrast, defect edges, defect size, background

And around them:

- operation: what an operation is, the families, and what a transform of ours is
- planes: places, bands and grey values, which several of the files draw with
- catalogue: all of them, found by name, and one after the other
"""
